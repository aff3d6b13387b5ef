"""The live page: what goes in, and in Chromium that it computes what the library does, for every edit and switch."""

import copy
import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from typer.testing import CliRunner

import mmm4rec_lite as m4r
from mmm4rec_lite.analysis import contributions, decay_masks, score_parts, without_convolutions, without_memory
from mmm4rec_lite.data import Dataset
from mmm4rec_lite.evaluation import recommend
from mmm4rec_lite.models.base import Batch, Recommender
from mmm4rec_lite.models.config import ModelConfig, Quirks
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.study.cli.commands import app
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.live import assets, export

ROOT = Path(__file__).parents[2]
SIZES = dict(d_model=16, d_ff=16, d_state=4, head_dim=8, max_len=12)
COMMITTED = ROOT / "notebooks" / "live.html"
USERS = ["user00", "user07", "user11"]
CLOSE = dict(rtol=0, atol=1e-4)
SWITCHES = {  # every field of ModelConfig and Quirks that says how the model computes, on and off
    "as it is": {},
    "no item vectors of its own": dict(item_bias=False),
    "w/o Time": dict(time=False),
    "w/o Shared": dict(shared=False),
    "w/o AF": dict(adaptive_filter=False),
    "w/o LF": dict(learnable_filter=False),
    "gaps in seconds": dict(gaps="seconds"),
    "gaps in seconds, no gap vector": dict(gaps="seconds", gap_vector=False),
    "no gap vector": dict(gap_vector=False),
    "no feed-forward": dict(ffn=False),
    "a gate per step": dict(gate_per_step=True),
    "fusion, shared weights": dict(fusion="shared"),
    "fusion, weights per item": dict(fusion="item"),
    "two layers": dict(n_layers=2),
    "two groups": dict(n_groups=2),
    "odd window": dict(max_len=11),
    "no convolution": dict(d_conv=1),
    "narrow": dict(expand=1, temperature=0.1, norm_eps=1e-12),
    **{
        f"quirk {field.name}": dict(gaps="seconds", quirks=Quirks(**{field.name: True}))
        for field in dataclasses.fields(Quirks)
        if f"quirks.{field.name}" not in export.REFUSED
    },
}
HISTORIES = [
    ([3, 7, 1, 7, 30], [0, 60, 90, 100_000, 100_000]),
    ([5], [1_600_000_000]),
    ([*range(1, 12)], [1_600_000_000 + 7**t for t in range(11)]),
]


def drawn(rows=31, **changes):
    """A model none of whose weights is at its start."""
    torch.manual_seed(0)
    model = MMM4Rec(ModelConfig(**SIZES | changes), torch.randn(rows, 12), torch.randn(rows, 10)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return model


def tensors(items, times):
    """One history as the model takes it."""
    return torch.tensor([items]), torch.tensor([len(items)]), torch.tensor([times])


def as_one(given):
    """The same as a batch."""
    items, lengths, times = given
    return Batch(items, lengths, times, lengths, lengths)  # what comes next is not looked at


@torch.no_grad()
def computed(model, items, times):
    """User, scores and decay masks by the library."""
    given, fill = tensors(items, times), (0, model.config.max_len - len(items))
    user = model(*given)
    given = F.pad(given[0], fill), given[1], F.pad(given[2], fill)
    masks = [found[0, :, : len(items), : len(items)] for found in decay_masks(model, *given).values()]
    return user[0].numpy(), model.score(user)[0, 1:].numpy(), [mask.numpy() for mask in masks]


IN_PAGE = """([payload, histories, off, lost]) => {
  const { build, forward, masks, scoreParts, scores, SCANS } = mmm4rec, model = build(payload);
  const sets = Object.fromEntries(Object.entries(lost).map(([kind, rows]) => [kind, new Set(rows)]));
  return histories.map(([items, times]) => {
    const trace = forward(model, { items: items.map(i => i - 1), times }, new Set(off), sets);
    const found = trace.layers.flatMap(layer => SCANS.map(name => masks(layer[name])));
    return [[...trace.user], [...scores(scoreParts(model, trace.user, sets))], found];
  });
}"""


def agree(tab, model, theirs, histories, off=(), lost=None):
    """The page's model from ``model``'s payload computes what the library's ``theirs`` does."""
    payload = export.model_data(model, range(1, len(model.text_features)))
    for given, found in zip(histories, tab.evaluate(IN_PAGE, [payload, histories, list(off), lost or {}]), strict=True):
        user, scores, masks = computed(theirs, *given)
        np.testing.assert_allclose(found[0], user, **CLOSE)
        np.testing.assert_allclose(found[1], scores, **CLOSE)
        for mine, mask in zip(found[2], masks, strict=True):
            np.testing.assert_allclose(np.array(mine), mask, **CLOSE)


@pytest.fixture(scope="module")
def task(toy, random_features):
    return m4r.Task(toy, random_features(toy.items["item"]))


@pytest.fixture(scope="module")
def trained(task, tmp_path_factory):
    """A run of one epoch over the toy."""
    out = tmp_path_factory.mktemp("run") / "run"
    return m4r.run(task, "mmm4rec+id", out=out, epochs=1, progress=False, **SIZES)


@pytest.fixture(scope="module")
def file(trained, toy, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "live.html"
    export.explain(trained, toy, USERS, path)
    return path


@pytest.fixture
def live(tab, file):
    """The page of the toy, open."""
    tab.goto(file.as_uri())
    tab.wait_for_selector(".top li")
    return tab


# --- what goes in ---


def embedded(path):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text("utf-8"), re.DOTALL)
    assert "<" not in found[1]
    return json.loads(found[1])


def test_the_page_holds_what_it_is_asked_for_and_nothing_from_elsewhere(file, toy, trained):
    text, data = file.read_text(encoding="utf-8"), embedded(file)
    assert "default-src 'none'" in text and "unsafe" not in text
    assert set(re.findall(r"https?://[^\s\"'<)]+", text)) == {
        "https://arxiv.org/abs/2506.02916", "http://www.w3.org/2000/svg"  # a link to click, a name
    }  # fmt: skip
    assert [one["user"] for one in data["histories"]] == USERS and len(data["items"]) == len(toy.items)
    assert data["about"]["date"] == trained.record["date"] and data["about"]["seed"] == 0
    assert sum(item["picture"] is not None for item in data["items"]) == toy.items["image"].notna().sum()
    assert all(item["picture"].startswith("data:image/jpeg;base64,") for item in data["items"] if item["picture"])
    state = trained.model.state_dict().keys() - {"adapter_image.weight", "adapter_text.weight"}
    assert data["tensors"].keys() == state | {"items.text", "items.image"}


def test_pictures_and_items_can_be_left_out_and_the_message_says_so(trained, toy, tmp_path):
    path = tmp_path / "small.html"
    told = export.explain(trained, toy, USERS[:1], path, items=30, images=False)
    data = embedded(path)
    assert "1 user, 30 of 60 items" in told and "--items" in told
    assert len(data["items"]) == 30 and not any(item["picture"] for item in data["items"])
    own = set(toy.interactions.loc[toy.interactions["user"] == USERS[0], "item"])
    assert own <= {item["id"] for item in data["items"]}


def test_too_much_is_told_with_what_to_leave_out(trained, toy, tmp_path, monkeypatch):
    path = tmp_path / "none.html"
    with pytest.raises(InputError, match="--items allows 2"):
        export.explain(trained, toy, USERS, path, items=2)
    with pytest.raises(InputError, match="13 users; a page shows at most 12"):
        export.explain(trained, toy, [*toy.interactions["user"].unique()[:13]], path)
    with pytest.raises(InputError, match="no user 'nobody'"):
        export.explain(trained, toy, ["nobody"], path)
    monkeypatch.setattr(export, "MOST_BYTES", 10_000)
    with pytest.raises(InputError, match=r"above 6 MB \(weights.*--no-images"):
        export.explain(trained, toy, USERS, path)
    assert not path.exists()


def test_a_model_that_the_page_does_not_compute_is_refused_by_name():
    for switch in export.REFUSED:
        name = switch.removeprefix("quirks.")
        changes = dict(quirks=Quirks(**{name: True})) if name != switch else {name: True}
        with pytest.raises(InputError, match=f"a model with {switch} is not shown"):
            export.check_shown(drawn(**changes))
    with pytest.raises(InputError, match="shows MMM4Rec"):
        export.check_shown(Recommender())


def test_every_switch_is_tested_refused_or_of_training_alone():
    """A new field of the config has to be sorted in here."""
    training = {"dropout", "time_dropout", "query_time", "quirks"}
    sizes = {"d_model", "d_ff", "d_state", "head_dim"}  # the page of the toy has others than the models below
    tested = {name for changes in SWITCHES.values() for name in changes}
    assert {field.name for field in dataclasses.fields(ModelConfig)} == training | sizes | tested


def test_the_command_writes_the_page(trained, task, tmp_path):
    task.features.save(tmp_path / "toy.safetensors")
    given = ["--data", str(ROOT / "data_samples/toy"), "--features", str(tmp_path / "toy.safetensors")]
    out = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["explain", str(trained.folder), *given, "--users", "user07", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert f"{out}: 1 user, 60 of 60 items" in result.output and out.stat().st_size < 1_000_000


def test_the_committed_page_is_made_of_todays_modules(tmp_path):
    again = export.rewrite(COMMITTED, tmp_path / "again.html")
    assert again.read_bytes() == COMMITTED.read_bytes(), (
        "write it anew: python -c \"from mmm4rec_lite.viz.live import export; export.rewrite('notebooks/live.html')\""
    )
    assert COMMITTED.stat().st_size < 2_000_000


def test_the_model_needs_no_browser(tmp_path):
    """Its module runs in node, as it stands."""
    node = shutil.which("node") or pytest.skip("no node here")
    for name in ("model", "decay"):
        text = assets.read(f"{name}.js").replace("./decay.js", "./decay.mjs")
        (tmp_path / f"{name}.mjs").write_text(text, encoding="utf-8")
    model = drawn()
    (tmp_path / "data.json").write_text(json.dumps(export.model_data(model, range(1, 31))))
    items, times = HISTORIES[0]
    given = json.dumps(dict(items=[i - 1 for i in items], times=times))
    script = f"""import {{ readFileSync }} from "fs"; import {{ build, forward }} from "./model.mjs";
    const user = forward(build(JSON.parse(readFileSync("data.json"))), {given}).user;
    console.log(JSON.stringify([...user]));"""
    (tmp_path / "run.mjs").write_text(script)
    done = subprocess.run([node, "run.mjs"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), computed(model, items, times)[0], **CLOSE)


# --- the numbers ---


@pytest.mark.browser
@pytest.mark.parametrize("name", SWITCHES)
def test_the_page_computes_what_the_library_computes(live, name):
    model = drawn(**SWITCHES[name])
    agree(
        live,
        model,
        model,
        [(items[: model.config.max_len], times[: model.config.max_len]) for items, times in HISTORIES],
    )


def with_switches(model, **changes):
    """The same weights in a model with other switches."""
    other = MMM4Rec(model.config.replace(**changes), model.image_features, model.text_features).eval()
    other.load_state_dict(model.state_dict(), strict=False)
    return other


ABLATED = {
    "time": lambda model: with_switches(model, time=False),
    "adaptive": lambda model: with_switches(model, adaptive_filter=False),
    "learnable": lambda model: with_switches(model, learnable_filter=False),
    "memory": without_memory,
    "convolutions": without_convolutions,
}


@pytest.mark.browser
def test_what_is_switched_off_is_what_the_library_leaves_out(live):
    model = drawn(n_layers=2, shared=False)
    for off, ablate in ABLATED.items():
        agree(live, model, ablate(model), HISTORIES, [off])
    bare = with_switches(without_convolutions(without_memory(model)), time=False)
    agree(live, model, bare, HISTORIES, ["time", "memory", "convolutions"])


@pytest.mark.browser
@pytest.mark.parametrize("changes", [{}, dict(item_bias=False, fusion="item")])
def test_lost_pictures_and_texts_are_features_of_zeros(live, changes):
    model, lost = drawn(**changes), dict(image=[2, 6, 20], text=[0, 6])
    other = copy.deepcopy(model)
    for kind, rows in lost.items():
        gone = torch.zeros(31, 1, dtype=torch.bool)
        gone[torch.tensor(rows) + 1] = True
        setattr(other, f"{kind}_features", getattr(other, f"{kind}_features").masked_fill(gone, 0))
    dropped = copy.deepcopy(model)
    dropped.drop_images(torch.isin(torch.arange(31), torch.tensor(lost["image"]) + 1))
    assert dropped.image_features.equal(other.image_features)
    agree(live, model, other, HISTORIES, lost=lost)


@pytest.mark.browser
def test_parts_and_contributions_are_those_of_analysis(live):
    model = drawn()
    payload = export.model_data(model, range(1, 31))
    for items, times in (HISTORIES[0], HISTORIES[2]):
        found = live.evaluate(
            """([payload, items, times]) => {
              const model = mmm4rec.build(payload), history = { items, times };
              const parts = mmm4rec.scoreParts(model, mmm4rec.forward(model, history).user);
              return [[...parts], mmm4rec.contributions(model, history).map(row => [...row])];
            }""",
            [payload, [i - 1 for i in items], times],
        )
        given = tensors(items, times)
        with torch.no_grad():
            parts = score_parts(model, model(*given), range(1, 31))
        np.testing.assert_allclose(np.reshape(found[0], (30, 2)).T, torch.cat(parts), **CLOSE)
        np.testing.assert_allclose(found[1], contributions(model, as_one(given))[:, 1:], **CLOSE)


@pytest.mark.browser
def test_the_way_of_an_item_is_what_depends_on_it(live):
    """With an average item in its place the text's lane enters as it was, but for that step."""
    found = live.evaluate("""() => {
      const { forward, model, result } = mmm4rec, { history } = result().given;
      const [a, b] = [null, 2].map(step => forward(model, history, new Set(), {}, step).layers[0].text.given);
      return a.map((x, t) => Math.hypot(...x.map((value, c) => value - b[t][c])));
    }""")
    assert [size > 1e-6 for size in found] == [t == 2 for t in range(len(found))]


# --- what one sees and does ---


def held(page, model):
    """What the page shows now is what the library says of the history that it shows now."""
    history, user, scores = page.evaluate("""() => {
      const { given, trace, parts } = mmm4rec.result();
      return [given.history, [...trace.user], [...mmm4rec.scores(parts)]];
    }""")
    ours = computed(model, [i + 1 for i in history["items"]], history["times"])
    np.testing.assert_allclose(user, ours[0], **CLOSE)
    np.testing.assert_allclose(scores, ours[1], **CLOSE)
    return history


def titles(page):
    return page.locator(".top .name").all_inner_texts()


@pytest.mark.browser
def test_at_first_every_user_gets_the_librarys_recommendations(live, trained, toy):
    for k, user in enumerate(USERS):
        live.select_option("#user", str(k))
        assert titles(live) == recommend(trained.model, toy, user)["title"].tolist()
        held(live, trained.model)
        assert live.inner_text("#moved") == "As at the start."


@pytest.mark.browser
def test_every_edit_moves_numbers_and_list_and_undo_brings_all_back(live, trained):
    control = lambda name: live.locator(f"[data-control={name}]")
    before, cards = held(live, trained.model), live.locator(".card")
    cards.nth(2).click()
    first = live.inner_text("#top")

    def changed(act, back=True):
        seen = live.evaluate("[...mmm4rec.result().trace.user]")
        act()
        now = held(live, trained.model)
        assert live.evaluate("[...mmm4rec.result().trace.user]") != seen and live.is_enabled("#undo")
        if back:
            live.click("#undo")
            assert held(live, trained.model) == before and live.inner_text("#top") == first
        return now

    items = before["items"]
    later = changed(control("later").click)
    assert later["items"][2:4] == [items[3], items[2]] and later["times"] == before["times"]
    changed(lambda: (cards.nth(2).focus(), live.keyboard.press("Alt+ArrowLeft")))
    cards.nth(2).click()
    gone = changed(lambda: cards.nth(2).press("Delete"))
    keep = lambda values: values[:2] + values[3:]
    assert gone["items"] == keep(items) and gone["times"] == keep(before["times"])
    cards.nth(2).click()
    gap = changed(lambda: (control("gap").focus(), live.keyboard.press("End")))
    shift = gap["times"][2] - before["times"][2]
    assert shift and [b - a for a, b in zip(before["times"][2:], gap["times"][2:])] == [shift] * (len(items) - 2)
    scale = changed(lambda: (control("scale").focus(), live.keyboard.press("ArrowRight")))
    assert np.ptp(scale["times"]) > np.ptp(before["times"])
    control("search").fill("red lamp")
    added = changed(live.locator(".found [data-control=add]").first.click)
    assert len(added["items"]) == min(len(items) + 1, SIZES["max_len"])
    assert added["items"][-1] == live.evaluate("mmm4rec.data.items.findIndex(item => item.title === 'Red desk lamp')")


@pytest.mark.browser
def test_an_item_is_dragged_to_another_place(live, trained):
    before, cards = held(live, trained.model)["items"], live.locator(".card")
    start, end = cards.nth(1).bounding_box(), cards.nth(3).bounding_box()
    middle = lambda box: (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    live.mouse.move(*middle(start))
    live.mouse.down()
    live.mouse.move(*middle(end), steps=5)
    live.mouse.up()
    live.locator("#undo:enabled").wait_for()
    assert held(live, trained.model)["items"] == [before[0], *before[2:4], before[1], *before[4:]]


@pytest.mark.browser
def test_switches_and_lost_parts_move_the_list(live):
    for name in live.evaluate("[...document.querySelectorAll('#switches input')].map(box => box.dataset.control)"):
        seen = live.inner_text("#top")
        live.locator(f"#switches [data-control={name}]").press("Space")
        assert live.inner_text("#top") != seen, name
        live.locator(f"#switches [data-control={name}]").press("Space")
        assert live.inner_text("#top") == seen, name
    live.evaluate("mmm4rec.edit(mmm4rec.start(mmm4rec.data, 0))")
    pictured = live.evaluate("mmm4rec.state().items.findIndex(i => mmm4rec.data.items[i].picture)")
    live.locator(".card").nth(pictured).click()
    for name in ("image", "text"):
        seen = live.inner_text("#top")
        live.locator(f".tools [data-control={name}]").press("Enter")
        assert live.inner_text("#top") != seen, name
        assert live.locator(f".tools [data-control={name}]").get_attribute("aria-pressed") == "true"
        live.locator(f".tools [data-control={name}]").press("Enter")
        assert live.inner_text("#top") == seen, name


@pytest.mark.browser
def test_every_block_opens_with_its_tensors_and_equation(live):
    blocks = live.evaluate("[...document.querySelectorAll('.block')].map(block => block.dataset.block)")
    assert len(blocks) == 13
    for block in blocks:
        live.locator(f"[data-block={block}]").press("Enter")
        assert live.locator("#panel .formula").count() >= 1 and live.locator("#panel figure").count() >= 1, block
        for drawing in live.locator("#panel figure [tabindex='0']").all():
            drawing.press("ArrowRight")
            assert re.search(r"\d", drawing.locator("xpath=ancestor::figure").locator("output").inner_text()), block
        assert "NaN" not in live.inner_text("#panel") and "undefined" not in live.inner_text("#panel"), block
        assert live.locator(f"[data-block={block}]").get_attribute("aria-expanded") == "true"
    live.locator("[data-block=ssd_text]").click()
    seen = live.inner_text("#panel .equations")
    live.get_by_role("button", name="Decay mask of head 2").click()
    assert live.inner_text("#panel .equations") != seen
    step = live.inner_text("#panel .equations")
    live.locator(".card").nth(1).click()
    assert live.inner_text("#panel .equations") != step


@pytest.mark.browser
def test_an_exercise_by_keyboard_alone_never_loses_the_focus(live):
    """From the first stop of Tab on; what is focused stays in sight and is what a reader expects."""
    keys, said = live.keyboard.press, lambda: live.inner_text("#said")
    focused = lambda: live.evaluate(
        "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
    )

    def to(name, key="Tab"):
        """Press Tab until something of this name is focused."""
        for _ in range(120):
            keys(key)
            if focused().startswith(name):
                return
        raise AssertionError(f"{name} is not reached")

    to("Item 1 of")
    keys("ArrowRight")
    keys("Alt+ArrowRight")
    assert focused().startswith("Item 3 of") and said().endswith(f"is now item 3 of {live.locator('.card').count()}")
    to("later")
    while live.is_enabled(".tools [data-control=later]"):
        keys("Enter")
    assert focused() == "← earlier"  # the other one ends here
    to("1. Order")
    keys("Enter")
    assert focused() == "1. Order"
    to("all ten")
    keys("Enter")
    assert focused() == "Start again and go on" and live.is_enabled("#undo")
    keys("Enter")
    assert focused() == "more of them" and not live.is_enabled("#undo")
    to("TiSSD, text")
    keys("Enter")
    to("Decay mask of head 2")
    keys("Enter")
    assert focused() == "Decay mask of head 2" and "Decay mask of head 2" in live.inner_text("#panel h4")
    to("The mask in numbers")
    keys("Enter")
    live.locator(".mask-map tr").first.wait_for()
    live.locator("#switches [data-control=time]").press("Space")
    live.locator(".mask-map tr").first.wait_for()  # what was opened stays open


@pytest.mark.browser
def test_why_tells_parts_and_contributions_of_what_is_pointed_at(live, trained, toy):
    live.locator(".top button").nth(3).focus()
    live.wait_for_selector(".why-table")
    item, history = live.evaluate("[mmm4rec.view.pick, mmm4rec.result().given.history]")
    assert toy.items["title"].iloc[item] == titles(live)[3] and titles(live)[3] in live.inner_text("#why strong")
    given = tensors([i + 1 for i in history["items"]], history["times"])
    ours = contributions(trained.model, as_one(given))[:, item + 1].tolist()
    shown = live.locator(".why-table td:nth-of-type(2)").all_inner_texts()
    plain = [float(text.replace("−", "-").replace("+", "")) for text in shown]
    np.testing.assert_allclose(plain, ours, rtol=0.05, atol=0.006)


@pytest.mark.browser
def test_pointing_at_an_item_lights_up_its_way_and_opens_its_numbers(live):
    """In the drawing; before the item itself there is only what its pause does to the time branch."""
    way = live.locator(".way button")
    filled = lambda block: live.evaluate(
        "block => [...document.querySelectorAll(`[data-block=${block}] .cell`)].map(cell => +cell.style.fillOpacity)",
        block,
    )
    for t, name in ((1, "hover"), (3, "focus")):
        getattr(way.nth(t), name)()
        assert way.nth(t).get_attribute("aria-pressed") == "true"
        assert [value > 0 for value in filled("text")] == [s == t for s in range(way.count())]
        assert max(filled("ssd_text")[:t]) < filled("ssd_text")[t] and filled("scores")[0]
        assert f"step {t + 1}:" in live.inner_text("#panel .equations")
        assert live.locator(".card").nth(t).get_attribute("aria-current") == "true"
    live.keyboard.press("ArrowRight")
    assert way.nth(4).evaluate("face => face === document.activeElement") and live.evaluate("mmm4rec.view.step") == 4
    live.locator(".card").nth(0).press("Delete")
    assert way.count() == live.locator(".card").count()


@pytest.mark.browser
def test_what_fell_out_of_the_ten_is_named_with_its_places(live):
    first = live.evaluate("mmm4rec.result().order.slice(0, 10)")
    assert "Fell out" not in live.inner_text("#top")
    live.locator("#switches [data-control=images]").press("Space")
    order, names = live.evaluate("[mmm4rec.result().order, mmm4rec.data.items.map(item => item.title)]")
    told = [f"{names[i]} (was {first.index(i) + 1}, now {order.index(i) + 1})" for i in first if i not in order[:10]]
    assert told and live.inner_text("#top").endswith(f"Fell out of the ten: {'; '.join(told)}.")
    assert live.inner_text("#moved").startswith(f"{len(told)} of ten ")


@pytest.mark.browser
def test_sliders_say_their_values_in_words_and_one_is_no_plural(live):
    live.locator(".card").nth(2).click()
    gap, scale = (live.locator(f"[data-control={name}]") for name in ("gap", "scale"))
    spoken = {0: "0 seconds", 1: "1 second", 60: "1 minute", 5400: "1.5 hours", 86400: "1 day", 2 * 86400: "2 days"}
    for seconds, words in (spoken | {365 * 86400: "1 year"}).items():
        live.evaluate(
            """seconds => { const state = mmm4rec.state();
          mmm4rec.edit({ ...state, gaps: state.gaps.map((gap, t) => t === 2 ? seconds : gap) }); }""",
            seconds,
        )
        assert gap.get_attribute("aria-valuetext") == words
        assert f"{words} after the one before" in live.locator(".card").nth(2).get_attribute("aria-label")
    assert "+ 1 year" in live.locator(".card").nth(2).inner_text().splitlines()
    assert scale.get_attribute("aria-valuetext") == "times 1"
    live.locator(".card").nth(0).click()
    assert gap.get_attribute("aria-valuetext") == "none" and gap.is_disabled()


@pytest.mark.browser
def test_the_drawings_words_can_be_read_at_every_width(live):
    for width in (360, 400, 700, 1000, 1280, 1920):
        live.set_viewport_size({"width": width, "height": 800})
        live.wait_for_timeout(150)
        found = live.evaluate("""() => {
          const words = [...document.querySelectorAll(".map text")], map = document.querySelector(".map");
          const scale = map.getScreenCTM().a, within = word => {
            const box = word.closest(".block")?.querySelector(".box").getBoundingClientRect();
            return !box || word.getBoundingClientRect().right < box.right;
          };
          const size = word => scale * parseFloat(getComputedStyle(word).fontSize);
          return [Math.min(...words.map(size)), words.every(within)];
        }""")
        assert found[0] >= 9.5 and found[1], (width, found)


@pytest.mark.browser
def test_whose_numbers_they_are_is_said_wherever_one_looks_and_on_paper(live, trained):
    told = f"full scale, seed 0, {trained.record['date']}"
    for width in (400, 1280):
        live.set_viewport_size({"width": width, "height": 800})
        live.locator("footer").scroll_into_view_if_needed()
        live.wait_for_timeout(100)
        assert live.inner_text("#model") == f"MMM4Rec + ID, toy, {told}"
        box = live.locator("#model").bounding_box()
        assert 0 <= box["y"] < 150 and live.evaluate("scrollY") > 800
    live.emulate_media(media="print")
    assert live.is_visible("#whose") and told in live.inner_text("#whose") and not live.is_visible("#tour")


@pytest.mark.browser
def test_where_the_item_ids_stand_is_said_of_a_model_that_has_them(live, trained, toy, tmp_path):
    assert "one added to its text vector, one to its picture vector" in live.inner_text("#why")
    plain = dataclasses.replace(trained, model=drawn(len(toy.items) + 1, item_bias=False))
    export.explain(plain, toy, USERS, tmp_path / "plain.html")
    live.goto((tmp_path / "plain.html").as_uri())
    live.wait_for_selector(".why-table")
    assert "item ids" not in live.inner_text("#why")


@pytest.mark.browser
def test_a_link_holds_what_one_sees_in_another_window_too(live, file):
    live.select_option("#user", "1")
    live.locator(".card").nth(1).press("Delete")
    live.locator("#switches [data-control=time]").press("Space")
    live.locator("[data-block=fused]").click()
    live.locator(".top button").nth(4).focus()
    live.wait_for_url(lambda url: "off=time" in url and "b=fused" in url and "r=" in url)
    live.wait_for_timeout(500)  # what was last pointed at is in it too
    live.click("#link")
    live.get_by_text("Its part behind # opens this state in any copy of the page.").wait_for()
    seen = [live.inner_text(part) for part in ("#history", "#top", "#why strong", "#panel h3")]
    address = live.url
    live.goto(file.as_uri())
    live.goto(address)
    live.reload()
    live.wait_for_selector(".top li")
    assert [live.inner_text(part) for part in ("#history", "#top", "#why strong", "#panel h3")] == seen
    assert live.is_enabled("#undo") and not live.is_checked("[data-control=time]")
    assert live.inner_text("#said") == ""
    other = live.context.browser.new_page()
    other.goto(address)
    other.wait_for_selector(".top li")
    assert [other.inner_text(part) for part in ("#history", "#top", "#why strong", "#panel h3")] == seen
    other.close()
    live.click("#again")
    assert live.is_checked("[data-control=time]") and not live.is_enabled("#undo")


FAULTS = {  # what stands behind #, without the page's mark -> what is said of it
    "u=99": "is damaged: the user cannot be read",
    "u=0&i=1.2&g=0": "is damaged: the items, the gaps cannot be read",
    "u=0&i=9999&g=0": "is damaged: the items cannot be read",
    "u=0&i=1.x&g=0.-5": "is damaged: the items, the gaps cannot be read",
    "u=0&off=nothing&x=0": "is damaged: the parts switched off, the length of all gaps cannot be read",
    "u=0&nt=1..2&ni=": "is damaged: the texts taken away, the pictures taken away cannot be read",
    "b=none&l=1&s=99&h=99&r=60&stop=6": "is damaged: the open block, the layer, the chosen item, the head, the "
    "recommendation, the question cannot be read",
    "u=0&<script>=1": 'is damaged: "<script>" cannot be read',
}


@pytest.mark.browser
def test_a_link_that_cannot_be_read_says_why_and_the_page_is_at_its_start(live, file, trained, toy, tmp_path):
    first, mark = titles(live), live.evaluate("mmm4rec.fingerprint(mmm4rec.data)")
    faults = {f"{part}&p={mark}": told for part, told in FAULTS.items()}
    short = "is cut short, or not of this page"
    faults |= dict.fromkeys(("u=0", f"u=0&p={mark[:-1]}", "foo", "%E0%A4%A", "<img src=x onerror=alert(1)>"), short)
    other = dataclasses.replace(trained, model=copy.deepcopy(trained.model))
    with torch.no_grad():
        other.model.norm_text.weight[0] += 1e-3
    for name, (done, users, items) in dict(
        weights=(other, USERS, 60), users=(trained, USERS[::-1], 60), items=(trained, USERS, 50)
    ).items():
        export.explain(done, toy, users, tmp_path / "other.html", items)
        found = mark_of(live, tmp_path / "other.html")
        assert found != mark, name
        faults[f"u=0&p={found}"] = "was made for another page, with other weights, users or items"
    for wrong, told in faults.items():
        live.goto("about:blank")
        live.goto(f"{file.as_uri()}#{wrong}")
        live.wait_for_selector(".top li")
        assert live.inner_text("#said") == f"The link in the address {told}. The page is at its start.", wrong
        assert titles(live) == first and not live.is_enabled("#undo")
    export.explain(trained, toy, USERS, tmp_path / "plain.html", images=False)  # the same state without pictures
    assert mark_of(live, tmp_path / "plain.html") == mark


def mark_of(page, path):
    """The mark of another page."""
    return page.evaluate("data => mmm4rec.fingerprint(data)", embedded(path))


@pytest.mark.browser
def test_the_six_stops_ask_do_and_answer(live):
    assert live.locator(".stops button").count() == 6
    for k in range(6):
        live.locator(".stops button").nth(k).click()
        choices = live.locator(".stop .choices button")
        if choices.first.is_disabled():
            assert "cannot show it" in live.inner_text(".stop")
            continue
        told = choices.all_inner_texts()
        choices.nth(1).click()
        answer = live.locator(".stop .right, .stop .wrong")
        assert answer.locator("strong").inner_text() in told and re.search(r"\d", answer.inner_text())
        live.click("#again")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_every_width_and_every_control_has_a_name(live, scheme):
    live.emulate_media(color_scheme=scheme)
    for width in (360, 400, 1280, 1920):
        live.set_viewport_size({"width": width, "height": 800})
        live.wait_for_timeout(100)
        assert live.evaluate("document.documentElement.scrollWidth") == width
    named = live.evaluate(
        "[...document.querySelectorAll('input, select')].filter(one => !one.labels.length).map(one => one.outerHTML)"
    )
    assert named == []
    unnamed = """() => [...document.querySelectorAll("button, [role=button], [role=img]")].filter(one =>
      !(one.getAttribute("aria-label") || one.textContent.trim())).map(one => one.outerHTML)"""
    assert live.evaluate(unnamed) == []
    told = live.inner_text("#whose")
    assert all(word in told for word in ("toy", "seed 0", "small")) and re.search(r"20\d\d-\d\d-\d\d", told)


# --- misuse ---

ODD = ["</script><script>window.broken = 1</script>", "\"quotes\" 'and' `ticks`", "$& $1 ${x} $$", "W" * 300,
       "שלום עולם", "<img src=x onerror='window.broken = 1'>", "", "a\nb\tc", "\u202eright", "😀" * 80]  # fmt: skip


@pytest.mark.browser
@pytest.mark.parametrize("images", [True, False])
def test_odd_titles_are_shown_as_they_are(tab, trained, toy, tmp_path, images):
    frame = toy.items.copy()
    frame["title"] = [ODD[k % len(ODD)] for k in range(len(frame))]
    odd = Dataset.from_frames(toy.name, toy.interactions, frame, toy.folder, toy.info)
    path = tmp_path / "odd.html"
    export.explain(trained, odd, USERS, path, images=images)
    tab.goto(path.as_uri())
    tab.wait_for_selector(".why-table")
    assert tab.evaluate("window.broken") is None
    assert set(tab.evaluate("mmm4rec.data.items.map(item => item.title)")) == set(ODD)
    for width in (400, 1280):
        tab.set_viewport_size({"width": width, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") == width
    shown = tab.evaluate("[...document.querySelectorAll('.top .name')].map(name => name.textContent)")
    assert shown == tab.evaluate("mmm4rec.result().order.slice(0, 10).map(i => mmm4rec.data.items[i].title)")
    for block in ("scores", "text", "fusion"):
        tab.locator(f"[data-block={block}]").press("Enter")
    assert tab.locator("img").count() == 0 or images


@pytest.mark.browser
def test_a_history_and_a_catalogue_of_one(live):
    while live.locator(".card").count() > 1:
        live.locator(".card").first.press("Delete")
    live.locator(".card").first.press("Delete")
    assert live.inner_text("#said").startswith("A history needs one item")
    assert "nothing to leave out" in live.inner_text("#why") and titles(live)
    for block in live.evaluate("[...document.querySelectorAll('.block')].map(block => block.dataset.block)"):
        live.locator(f"[data-block={block}]").press("Enter")
        assert live.locator("#panel figure").count() >= 1
    for k in range(6):
        live.locator(".stops button").nth(k).click()


@pytest.mark.browser
def test_one_purchase_of_one_item_in_a_shop_of_one(tab, trained, toy, tmp_path):
    frame = toy.items.head(1)
    bought = toy.interactions[toy.interactions["item"] == frame["item"].iloc[0]].head(1)
    one = Dataset.from_frames("one", bought, frame, toy.folder, toy.info)
    export.explain(trained, one, [bought["user"].iloc[0]], tmp_path / "one.html")
    tab.goto((tmp_path / "one.html").as_uri())
    tab.wait_for_selector(".card")
    assert tab.locator(".card").count() == 1 and "No item is left" in tab.inner_text("#top")
    for block in tab.evaluate("[...document.querySelectorAll('.block')].map(block => block.dataset.block)"):
        tab.locator(f"[data-block={block}]").press("Enter")
        assert "NaN" not in tab.inner_text("#panel") and "undefined" not in tab.inner_text("#panel")
    for k in range(6):
        tab.locator(".stops button").nth(k).click()
        assert "cannot show it" in tab.inner_text(".stop")


@pytest.mark.browser
def test_a_catalogue_of_the_histories_alone_ranks_nothing(tab, trained, toy, tmp_path):
    """The items of the one user: all are in the history, so no item is left to recommend."""
    own = toy.interactions[toy.interactions["user"] == USERS[0]].tail(SIZES["max_len"])
    path = tmp_path / "own.html"
    export.explain(trained, toy, USERS[:1], path, items=own["item"].nunique())
    tab.goto(path.as_uri())
    tab.wait_for_selector(".card")
    assert tab.locator(".top li").count() == 0 and "No item is left" in tab.inner_text("#top")
    while tab.locator(".card").count() > 1:
        tab.locator(".card").first.press("Delete")
    assert tab.locator(".top li").count() >= 1
