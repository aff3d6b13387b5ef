"""All models of the registry alike: they learn, count, train what they should, transfer, refuse unfit data."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from mmm4rec_lite import runs
from mmm4rec_lite.data import batch
from mmm4rec_lite.data.tabular import ORDER_ONLY
from mmm4rec_lite.evaluation import model_scorer, rank_rows
from mmm4rec_lite.models.base import Batch, Catalogue, count_parameters, drop_items
from mmm4rec_lite.models.config import ModelConfig, Quirks
from mmm4rec_lite.models.registry import MODELS, get_model, list_models, missing_inputs
from mmm4rec_lite.runs import Protocol, Task, fit_gaps
from mmm4rec_lite.training import TrainConfig, fit
from mmm4rec_lite.utils.devices import autocast
from mmm4rec_lite.utils.errors import InputError
from tests.support import goldens, own_goldens
from tests.support.models import NAMES, STAGED, drawn, made

MODALITIES = ("text", "image", "time", "category")


def known(name, what):
    """What a system's module of tests/support/goldens says of it by hand (the folder's docstring has the list)."""
    return getattr(goldens.adapter(name), what, {})


@pytest.fixture(scope="module")
def shop(toy):
    return drawn(len(toy.items) + 1)


@pytest.fixture(scope="module")
def run(toy_split, shop):
    """A function (name, stage) -> (model, its weights before, history) of a short training with drop-out, run once."""
    done = {}

    def start(name, stage):
        if (name, stage) not in done:
            model = made(name, shop, stage, dropout=0.1)
            fit_gaps(model, toy_split)
            before = {k: v.clone() for k, v in model.state_dict().items()}
            config = TrainConfig(stage=stage, epochs=3, batch_size=32, lr=1e-2, weight_decay=0)
            history = fit(model, toy_split.sequences, toy_split.train[::10][:64], config, progress=False)
            done[name, stage] = model, before, history
        return done[name, stage]

    return start


# --- they learn ---


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_32_rows_can_be_learnt_by_heart(name, toy_split, shop):
    model = made(name, shop, width=32, mask_share=0.0, clusters=1.0, temperature=0.05, view_temperature=0.05)
    fit_gaps(model, toy_split)
    rows, losses = toy_split.train[::25][:32], []
    config = TrainConfig(epochs=30, batch_size=32, lr=1e-2, weight_decay=0)
    while len(losses) < 150 and not (losses and losses[-1] < 0.05):
        losses += fit(model, toy_split.sequences, rows, config, progress=False)["loss"].tolist()
    assert len(rows) == 32 and losses[-1] < 0.05 < losses[0]
    assert (rank_rows(model_scorer(model), toy_split.sequences, rows, model.window) == 1).all()


@pytest.mark.parametrize("name,stage", STAGED)
def test_a_stage_changes_every_weight_but_the_frozen_ones(name, stage, run):
    model, before, _ = run(name, stage)
    frozen = known(name, "FROZEN").get(stage, ())
    assert model.frozen(stage) == frozen
    weights = dict(model.named_parameters())
    assert all(any(key.startswith(part) for key in weights) for part in frozen)
    same = {key for key, value in weights.items() if torch.equal(value, before[key])}
    assert same == {key for key in weights if key.startswith((*frozen, *known(name, "UNREAD")))}


@pytest.mark.parametrize("name,stage", STAGED)
def test_every_term_of_the_loss_is_in_the_history(name, stage, run):
    history = run(name, stage)[2]
    terms = {column[5:] for column in history if column.startswith("loss_")}
    written = own_goldens.load(name)["losses"]["full"][stage]
    assert terms == (written.keys() if len(written) > 1 else set())
    positive = terms - {"diversity"}  # a mean of cosines
    assert (history[["loss", *(f"loss_{term}" for term in positive)]] > 0).all(axis=None)
    names = get_model(name).losses()[stage]
    assert terms == (set(names) if len(names) > 1 else set())
    if terms:
        assert history["loss"].tolist() == pytest.approx(history[[f"loss_{term}" for term in terms]].sum(axis=1))


@pytest.mark.parametrize("name", ["unisrec", "unisrec+id", "missrec", "missrec+id"])
def test_a_pre_training_that_needs_reworded_texts_says_so(name, toy_split, shop):
    model = made(name, replace(shop, augmented_text=None), "pretrain")
    config = TrainConfig(stage="pretrain", epochs=1, batch_size=32)
    with pytest.raises(InputError, match=r"^pre-training [^\n]*\(Catalogue.augmented_text\)$"):
        fit(model, toy_split.sequences, toy_split.train[:64], config, progress=False)


@pytest.mark.parametrize("name", ["unisrec", "missrec"])
def test_a_view_drops_the_released_items_on_demand(name, toy_split, shop):
    switches = dict(drops_before=True) if name == "unisrec" else dict(texts_dropped=True)
    one = batch(toy_split.sequences, toy_split.train[::40][:16], 8)
    for released in (False, True):
        model = made(name, shop, "pretrain", **(switches if released else {}))
        torch.manual_seed(2)
        seen, _, *images = model.view(one)
        torch.manual_seed(2)
        drop = torch.rand(one.items.shape) < 0.2
        assert torch.equal(seen.items, drop_items(one, drop, released).items) and (seen.lengths < one.lengths).any()
        assert name == "unisrec" or (images[0] is one.items) == released


# --- modalities ---


@pytest.mark.parametrize("name", [name for name in NAMES if name != "vqrec"])  # which reads texts once, when built
def test_text_and_image_of_one_width_enter_their_own_adapters(name, toy_split):
    """Texts are positive and images negative, so a swap shows, which a model of equal widths would pass over.

    Whatever part of the model is given features is given one kind, that of its name where it says one.
    """
    noise = torch.rand(toy_split.sequences.item_count + 1, 13) + 1  # a width that nothing else has
    catalogue, seen = Catalogue(noise, -noise, noise[:, 0] > 0, noise, noise > 1.5), {}
    model = made(name, catalogue).eval()
    for part, module in model.named_modules():
        keep = lambda _, given, part=part: seen.setdefault(part, []).extend(
            x for x in given if torch.is_tensor(x) and x.is_floating_point() and x.shape[-1] == 13
        )
        module.register_forward_pre_hook(keep)
    one = padded(batch(toy_split.sequences, toy_split.train[::40][:16], 7), model)
    model.users(one)
    model.candidates()
    for stage in model.stages:  # S3-Rec reads texts in pre-training alone
        model.losses(one, stage)
    kinds = {part: {"text" if (x > 0).any() else "image" for x in given} for part, given in seen.items() if given}
    assert set().union(*kinds.values()) == set(get_model(name).reads) & {"text", "image"}
    for part, kind in kinds.items():
        told = {word for word in ("text", "image") if word in part}
        assert len(kind) == 1 and (kind == told or not told)
        assert all((x >= 0).all() or (x <= 0).all() for x in seen[part])


@pytest.mark.parametrize("name,stage", [case for case in STAGED if "image" in get_model(case[0]).reads])
def test_items_without_an_image_start_with_gradients_like_all_others(name, stage, toy_split, shop):
    """Not so where the unit vector of features and bias 0 is asked for: 1e11 and more, which no optimiser forgets."""
    blank = replace(shop, image=shop.image * shop.has_image.unsqueeze(1))
    model, one = made(name, blank, stage), batch(toy_split.sequences, toy_split.train[::40][:16], 8)
    assert not blank.has_image[one.items].all()
    sum(model.losses(one, stage).values()).backward()
    sizes = {key: p.grad.norm() for key, p in model.named_parameters() if p.grad is not None}
    assert all(0 <= size < 200 for size in sizes.values()), sizes


# --- the catalogue's tables ---


@pytest.mark.parametrize("name", NAMES)
def test_no_model_writes_into_the_catalogues_tables(name, toy_split, shop):
    before = Catalogue(*(table.clone() for table in vars(shop).values()))
    model = made(name, shop)
    fit(model, toy_split.sequences, toy_split.train[:32], TrainConfig(epochs=1, batch_size=32), progress=False)
    model.drop_images(torch.arange(len(shop)) % 2 == 0)
    assert all(torch.equal(table, old) for table, old in zip(vars(shop).values(), vars(before).values()))


@pytest.mark.parametrize("name", ["mmm4rec", "sasrec_t", "unisrec"])
def test_models_share_the_catalogues_tables(name, shop):
    for model in (made(name, shop), made(name, shop)):
        assert shop.text.data_ptr() in [table.data_ptr() for table in model.buffers()]


# --- padding ---


@pytest.mark.parametrize("name,stage", STAGED)
def test_the_padding_item_never_competes(name, stage, toy_split, shop):
    """Whatever row 0 of features and tables holds: the same losses, and never a score."""
    changed = Catalogue(*(table.clone() for table in vars(shop).values()))
    for table in (changed.text, changed.image, changed.augmented_text):
        table[0] = 30.0
    changed.has_image[0] = True
    one = batch(toy_split.sequences, toy_split.train[::40][:16], 7)
    assert (one.items == 0).any()
    losses = []
    for catalogue in (shop, changed):
        model = made(name, catalogue, stage)
        if catalogue is changed:
            for key, table in model.named_parameters():
                if key.startswith(model.item_specific) and table.dim() == 2:
                    table.data[0] = 30.0
        model.eval()
        torch.manual_seed(1)
        losses.append({key: value.item() for key, value in model.losses(padded(one, model), stage).items()})
        scores = model.score(model.users(padded(one, model)))
        assert scores.shape == (16, len(shop))
        assert (scores[:, 0] == -torch.inf).all() and scores[:, 1:].isfinite().all()
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_beyond_a_history_is_never_seen(name, toy_split, shop):
    model = made(name, shop).eval()
    one = padded(batch(toy_split.sequences, toy_split.train[::40][:16], 7), model)
    hidden = torch.arange(one.items.shape[1]) >= one.lengths.unsqueeze(1)
    junk = replace(
        one,
        items=torch.where(hidden, 5, one.items),
        times=torch.where(hidden, 10**9, one.times),
        targets=one.targets + 1,
        requests=one.requests + 10**6,
    )
    torch.testing.assert_close(model.users(junk), model.users(one))


def padded(one, model):
    """The batch with columns of padding up to the model's window."""
    fill = lambda table: torch.nn.functional.pad(table, (0, model.window - table.shape[1]))
    return replace(one, items=fill(one.items), times=fill(one.times))


# --- transfer ---


@pytest.mark.parametrize("name", NAMES)
def test_a_transfer_moves_all_but_what_belongs_to_a_catalogue(name, shop):
    source = made(name, drawn(30, seed=1), "pretrain")
    with torch.no_grad():
        for p in source.parameters():
            p += 1
    target, state = made(name, shop), source.state_dict()
    own = {k: v.clone() for k, v in target.state_dict().items()}
    target.transfer(state)
    for key, value in target.state_dict().items():
        if key.startswith(target.item_specific):
            assert torch.equal(value, own[key]), key
        elif not key.startswith(target.reset_on_transfer):
            assert torch.equal(value, state[key]), key
    assert any(not torch.equal(value, own[key]) for key, value in target.state_dict().items())
    assert name.endswith("+id") <= any(key.startswith(target.item_specific) for key in own)


@pytest.mark.parametrize("name", NAMES)
def test_a_transfer_between_widths_is_refused(name, shop):
    with pytest.raises(InputError, match=r"^transfer: [^\n]* does not fit; [^\n]*$"):
        made(name, shop).transfer(made(name, shop, width=32).state_dict())


# --- the list ---


@pytest.mark.parametrize("name", [name for name in MODELS if name != "mmm4rec"])
def test_parameter_counts_are_those_of_the_papers(name):
    counts = known(name, "COUNTS").get(name)
    assert counts, "its module of tests/support/goldens: COUNTS, parameters at widths 64 and 256, counted by hand"
    assert tuple(get_model(name).count_parameters(width) for width in (64, 256)) == counts


def test_ids_are_counted_apart():
    for name in (name for name in NAMES if name.endswith("+id")):
        assert get_model(name).count_parameters(64) == get_model(name.removesuffix("+id")).count_parameters(64)
    assert {name for name in NAMES if name.endswith("+id")} == {"unisrec+id", "missrec+id", "mmm4rec+id"}


def test_a_table_with_a_row_per_item_is_not_counted(shop):
    for name in NAMES:
        model, larger = made(name, shop), made(name, drawn(2 * len(shop)))
        assert count_parameters(model) == count_parameters(larger)
        rows = len(shop) * get_model(name).sized(16).d_model
        tables = {"mmm4rec+id": 2}.get(name, int("id" in get_model(name).reads))
        mask = 16 * (name == "s3rec")
        assert sum(p.numel() for p in model.parameters()) - count_parameters(model) == tables * rows + mask


def test_the_list_has_all_systems_and_is_plain():
    lines = json.loads(json.dumps(list_models(widths=(16,))))
    assert [line["name"] for line in lines] == list(MODELS)
    for line in lines:
        assert set(line["modalities"]) <= {"id", *MODALITIES} and line["paper"] and line["title"]
        assert line["stages"] in (["scratch"], ["scratch", "pretrain", "finetune"])
        assert line["parameters"] == {"16": get_model(line["name"]).count_parameters(16)}
        losses = line["losses"]
        assert list(losses) == line["stages"] and losses.get("finetune", losses["scratch"]) == losses["scratch"]
        assert line["exact"].endswith(" class, 1e-9") != (line["exact"] == "no public class")
    assert {line["name"]: line["quirks"] for line in lines}["mmm4rec"] == [f.name for f in fields(Quirks)]


def parts_of_the_page():
    """docs/systems.md: its titles of systems in the tree, its sections by title, the lines of its drawings."""
    page = (Path(__file__).parents[2] / "docs" / "systems.md").read_text(encoding="utf-8")
    _, *sections = re.split("^## ", page, flags=re.MULTILINE)
    drawn = "\n".join(re.findall(r"^```\n(.*?)^```", page, re.MULTILINE | re.DOTALL)).splitlines()
    tree = re.findall(r"([\w-]+) {3}", page.split("```")[1])
    return tree, {section.split("\n")[0]: section for section in sections}, drawn


@pytest.mark.parametrize("name", MODELS)
def test_the_page_of_systems_has_a_section_with_its_losses_and_a_drawing(name):
    tree, sections, _ = parts_of_the_page()
    spec = MODELS[name]
    if spec.title not in (*tree, *sections):
        pytest.skip(f"docs/systems.md says nothing of {spec.title} yet: write its line in the tree and its section")
    about, drawing = re.fullmatch(r"\S+\n\n(.+?)\n\n```\n(.+?)\n```\n+", sections[spec.title], re.DOTALL).groups()
    assert about.startswith(f"`{spec.name}`, ") and tree.count(spec.title) == 1
    told = {*sum(spec.losses().values(), ()), *(spec.quirks if spec.name not in ("mmm4rec", "tim4rec_t") else ())}
    assert [word for word in told if f"`{word}`" not in about] == []
    assert 2 <= len(drawing.split("\n")) <= 6 and ("no class" in about.lower()) == ("no public" in spec.exact)


def test_the_page_of_systems_has_a_tree_and_a_table_of_switches_of_those_that_it_describes():
    tree, sections, drawn = parts_of_the_page()
    told = [spec for spec in MODELS.values() if spec.title in sections]
    assert sorted(tree) == sorted(spec.title for spec in told) and sorted([*tree, "Switches"]) == sorted(sections)
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \|", sections["Switches"], re.MULTILINE)
    found = {(quirk, name) for quirk, names in rows for name in names.split(", ")}
    assert found == {(quirk, spec.name) for spec in told for quirk in spec.quirks}
    assert max(map(len, drawn)) <= 100


@pytest.mark.parametrize("name", NAMES)
def test_the_losses_of_the_list_are_those_of_a_model_in_use(name, toy_split, shop):
    one = batch(toy_split.sequences, toy_split.train[::40][:16], 8)
    listed = get_model(name).losses()
    assert list(listed) == list(get_model(name).stages)
    assert listed == {stage: tuple(made(name, shop, stage).losses(one, stage)) for stage in listed}


@pytest.mark.parametrize("name", [name for name in NAMES if get_model(name).quirks])
def test_every_quirk_of_the_list_does_something_and_no_other_does(name, shop):
    """To start weights, what is trained, user vectors, losses, gradients or what is ranked."""
    spec, meant = get_model(name), traces(name, shop)
    assert [quirk for quirk in (*spec.quirks, *spec.unread) if traces(name, shop, quirk) == meant] == list(spec.unread)


def traces(name, shop, quirk=None):
    """All that a switch of the config could change, of one row twice and a short one."""
    spec = get_model(name)
    changes = {quirk: True} if quirk else {}
    if isinstance(spec.config, ModelConfig):
        changes = dict(gaps="seconds", quirks=Quirks(**changes))  # log-gaps count no padding
    wide = replace(shop, categories=torch.cat([shop.categories, ~shop.categories], 1))  # as many as steps, and more
    torch.manual_seed(0)
    config = spec.sized(16, 8).replace(**changes)
    model = spec.build(config, wide)
    told = [model.rank_padding, model.leaks_target_time, *(model.frozen(stage) for stage in model.stages)]
    told += [(key, value.double().sum().item(), tuple(value.shape)) for key, value in model.state_dict().items()]
    torch.manual_seed(1)
    for _, p in sorted(model.named_parameters()):
        p.data += 0.3 * torch.randn_like(p)
    steps, lengths = torch.arange(model.window), torch.tensor([model.window, model.window, 3, 6])
    items = (1 + (7 * steps + 5 * torch.arange(4).unsqueeze(1)) % (len(shop) - 1)) * (steps < lengths.unsqueeze(1))
    times = (10**9 + 86_400 * (steps * steps + torch.arange(4).unsqueeze(1))) * (items > 0)
    one = Batch(items, lengths, times, torch.tensor([3, 4, 3, 5]), times.amax(1) + 3600)
    for stage in model.stages:
        model.begin_epoch(0, stage)
        torch.manual_seed(2)
        terms = model.losses(one, stage)
        model.zero_grad()
        sum(terms.values()).backward()
        told += [(stage, term, value.item()) for term, value in terms.items()]
        told += [(stage, key) for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    return told


def test_what_is_published_as_decayed_whole_is():
    """Norms and biases too; beside a sum of 8 gradients, of which ours is the mean, an eighth decays as much."""
    trained = {name: MODELS[name].training for name in ("sasrec_t", "bsarec", "mmsrec")}
    assert all(training.decay_all for training in trained.values()) and not MODELS["mmm4rec"].training.decay_all
    assert trained["sasrec_t"].weight_decay * trained["sasrec_t"].accumulate == pytest.approx(1e-3)


# --- wrong names and missing_inputs data ---


@pytest.mark.parametrize("name", ["nosuch", "", "sasrec+ids", "unisrec+id+id", "nosuch+id"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(InputError, match=r"^model: [^\n]* is not built here; one of sasrec, [^\n]*$"):
        get_model(name)


@pytest.mark.parametrize("name", [name for name, system in MODELS.items() if system.ids is None])
def test_a_form_with_ids_is_refused_where_there_is_no_choice(name):
    with pytest.raises(InputError, match=f"^{name}: there is no [^\n]*$"):
        get_model(f"{name}+id")


def test_unfit_says_what_is_missing():
    for name in NAMES:
        system = get_model(name)
        assert missing_inputs(system, MODALITIES) == ""
        for lost in MODALITIES:
            why = missing_inputs(system, set(MODALITIES) - {lost})
            assert (lost in system.reads) == bool(why) and "\n" not in why
            assert not why or (why.startswith(f"{name} reads ") and why.endswith(f"have no {lost}"))
    assert missing_inputs(MODELS["mmm4rec"], ()).endswith("these data have no text and no image and no time")


@pytest.mark.parametrize(
    "name,lost",
    [
        ("tim4rec", "time"),
        ("tim4rec_t", "time"),
        ("mmm4rec+id", "time"),
        ("mmm4rec", "image"),
        ("mmsrec", "image"),
        ("missrec", "image"),
        ("sasrec_t", "text"),
        ("unisrec", "text"),
        ("hm4sr", "time"),
        ("hm4sr", "category"),
        ("athwe", "category"),
    ],
)
def test_unfit_data_are_refused_before_anything_is_made(name, lost, toy, random_features, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    features = random_features(toy.items["item"])
    if lost == "time":
        toy = replace(toy, info={**toy.info, "times": ORDER_ONLY})
    elif lost == "category":
        toy = replace(toy, items=toy.items.assign(categories=""))
    elif lost == "image":
        features = replace(features, has_image=torch.zeros(len(features.items), dtype=torch.bool))
    else:
        features = replace(features, text=torch.zeros_like(features.text))
    told = f"{name} reads {', '.join(get_model(name).reads)}; these data have no {lost}"
    assert Task(toy, features).lacks(name) == told
    if lost in ("time", "category"):
        way = "take another" if name in ("hm4sr", "athwe") else "train with time=False, or take another"
        with pytest.raises(InputError, match=f"^toy: {re.escape(told)}; {way} model$"):
            runs.run(Task(toy, features), name, Protocol("matched", width=16, window=8))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name, stage", STAGED)
def test_every_system_computes_in_bfloat16_and_keeps_float32(name, stage, toy_split, shop):
    model = made(name, shop, stage).eval()
    one = batch(toy_split.sequences, toy_split.train[:64], model.window)
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        torch.manual_seed(0)
        with autocast(precision):
            losses.append(sum(model.losses(one, stage).values()))
        losses[-1].backward()
    assert losses[1].dtype == torch.float32 and losses[1].item() == pytest.approx(losses[0].item(), rel=5e-3)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert model_scorer(model, "bf16-mixed")(one).dtype == torch.float32
