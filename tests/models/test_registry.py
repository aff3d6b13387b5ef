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
from tests.support.models import NAMES, STAGED, drawn, made

# Parameters at widths 64 and 256, counted by hand from each paper and its released code. MMSRec's code has a prompt
# vector of d numbers more, which no item ever takes; HM4SR's a map and ATHWE's nine rows of gaps that nothing reads.
# MISSRec's own test has the closed form.
COUNTS = {
    "sasrec": (103_296, 1_592_832),
    "sasrec_t": (152_512, 1_789_696),
    "mamba4rec": (144_384, 1_978_368),
    "mamba4rec_t": (193_600, 2_175_232),
    "tim4rec": (157_248, 1_994_256),
    "tim4rec_t": (179_584, 2_090_512),
    "bsarec": (103_680, 1_594_368),
    "m3rec": (384_258, 4_609_026),
    "hm4sr": (761_925 - 65 * 64, 8_601_669 - 257 * 256),
    "athwe": (646_408 - 9 * 64, 8_581_384 - 9 * 256),
    "fdsa": (260_736, 3_500_544),
    "s3rec": (169_152, 2_052_864),
    "zesrec": (156_672, 1_855_488),
    "unisrec": (514_944, 3_184_128),
    "vqrec": (2_743_200, 5_811_744),
    "mmsrec": (176_000 - 64, 1_588_736 - 256),
}

# what released code does, and a switch brings back
KNOWN = {f.name for f in fields(Quirks)} | {
    "published_dt",
    "padding_in_filter",
    "detach_shared",
    "features_overwritten",
}
KNOWN |= {"fixed_experts", "misplaced_items", "copies_as_zero", "padded_wavelets", "nothing_masked", "padded_left"}
KNOWN |= {"drops_before", "published_alignment", "batch_penalty", "texts_dropped"}

MODALITIES = ("text", "image", "time", "category")
STREAMS = {"cross_entropy", "id_contrast", "view_contrast", "category"}
# what there is beside, or instead of, one cross-entropy
TERMS = {
    ("hm4sr", "scratch"): STREAMS,
    ("athwe", "scratch"): STREAMS | {"clusters", "diversity"},
    ("s3rec", "pretrain"): {"associated_attribute", "masked_item", "masked_attribute", "segment"},
    ("unisrec", "pretrain"): {"sequence_item", "sequence_sequence"},
    ("missrec", "pretrain"): {"sequence_item", "sequence_sequence", "norm_penalty"},
    ("missrec", "scratch"): {"cross_entropy", "norm_penalty"},
    ("missrec", "finetune"): {"cross_entropy", "norm_penalty"},
    ("mmsrec", "pretrain"): {"image_and_image", "text_and_image", "text_and_text", "both_and_both"},
}
FROZEN = {
    **{("vqrec", stage): ("permutation",) for stage in ("scratch", "pretrain")},
    ("vqrec", "finetune"): ("encoder.positions.", "encoder.blocks."),
    **{("s3rec", stage): ("texts.", "heads.") for stage in ("scratch", "finetune")},
    ("unisrec", "finetune"): ("encoder.positions.", "encoder.blocks."),
    ("missrec", "finetune"): ("transformer.", "positions."),
    ("mmsrec", "pretrain"): ("mask.",),
}
# The last layer hands a time signal on to no layer, there as in the published code; the counts have it.
UNREAD = dict.fromkeys(["tim4rec", "tim4rec_t"], ("encoder.tissd.1.enhance.",))


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
    rows = toy_split.train[::25][:32]
    longer = dict(zesrec=120, hm4sr=150, athwe=150)  # two maps that start at 0.02; categories that are noise, too
    epochs = dict(longer, mmm4rec=20).get(name.removesuffix("+id"), 60)
    config = TrainConfig(epochs=epochs, batch_size=32, lr=1e-2, weight_decay=0)
    history = fit(model, toy_split.sequences, rows, config, progress=False)
    assert len(rows) == 32 and history["loss"].iloc[-1] < 0.05 < history["loss"].iloc[0]
    assert (rank_rows(model_scorer(model), toy_split.sequences, rows, model.window) == 1).all()


@pytest.mark.parametrize("name,stage", STAGED)
def test_a_stage_changes_every_weight_but_the_frozen_ones(name, stage, run):
    model, before, _ = run(name, stage)
    frozen = FROZEN.get((name.removesuffix("+id"), stage), ())
    assert model.frozen(stage) == frozen
    weights = dict(model.named_parameters())
    assert all(any(key.startswith(part) for key in weights) for part in frozen)
    same = {key for key, value in weights.items() if torch.equal(value, before[key])}
    assert same == {key for key in weights if key.startswith((*frozen, *UNREAD.get(name, ())))}


@pytest.mark.parametrize("name,stage", STAGED)
def test_every_term_of_the_loss_is_in_the_history(name, stage, run):
    history = run(name, stage)[2]
    terms = {column[5:] for column in history if column.startswith("loss_")}
    assert terms == TERMS.get((name.removesuffix("+id"), stage), set())
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

# the parts that text and image features enter, MMSRec's in the order of its two tokens
ADAPTERS = {
    "mmm4rec": ("adapter_text", "adapter_image"),
    **dict.fromkeys(("m3rec", "hm4sr", "athwe"), ("text.linear", "image.linear")),
    "missrec": ("text.linear", "image.linear"),
    "mmsrec": ("features.1.linear", "features.0.linear"),
    "unisrec": ("adaptor",),
    **dict.fromkeys(("sasrec_t", "mamba4rec_t", "tim4rec_t", "zesrec"), ("items.linear",)),
    **dict.fromkeys(("fdsa", "s3rec"), ("texts.linear",)),
}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "vqrec"])  # which reads texts once, when built
def test_text_and_image_of_one_width_enter_their_own_adapters(name, toy_split):
    """Texts are positive and images negative, so a swap shows, which a model of equal widths would pass over."""
    noise = torch.rand(toy_split.sequences.item_count + 1, 12) + 1
    catalogue, seen = Catalogue(noise, -noise, noise[:, 0] > 0, categories=noise > 1.5), {}
    model = made(name, catalogue).eval()
    adapters = dict(zip(("text", "image"), ADAPTERS.get(name.removesuffix("+id"), ())))
    assert set(adapters) == set(get_model(name).reads) & {"text", "image"}
    for modality, adapter in adapters.items():
        keep = lambda _, given, modality=modality: seen.setdefault(modality, []).append(given[0])
        model.get_submodule(adapter).register_forward_pre_hook(keep)
    one = padded(batch(toy_split.sequences, toy_split.train[::40][:16], 7), model)
    model.users(one)
    model.candidates()
    if name == "s3rec":  # which reads texts in pre-training alone
        model.losses(one, "pretrain")
    for modality in adapters:
        sign = 1 if modality == "text" else -1
        assert all((sign * given >= 0).all() and (sign * given > 0).any() for given in seen[modality])


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


@pytest.mark.parametrize("name,counts", COUNTS.items())
def test_parameter_counts_are_those_of_the_papers(name, counts):
    assert tuple(get_model(name).count_parameters(width) for width in (64, 256)) == counts


def test_every_compared_system_is_counted_by_hand():
    assert sorted([*COUNTS, "missrec", "mmm4rec"]) == sorted(MODELS)  # MISSRec has a test of its own


def test_ids_are_counted_apart():
    for name in (name for name in NAMES if name.endswith("+id")):
        assert get_model(name).count_parameters(64) == get_model(name.removesuffix("+id")).count_parameters(64)
    assert {name for name in NAMES if name.endswith("+id")} == {"unisrec+id", "missrec+id", "mmm4rec+id"}
    assert [round(MODELS["missrec"].count_parameters(width), -4) for width in (64, 256)] == [220_000, 2_250_000]


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
        assert set(line["quirks"]) <= KNOWN and set(get_model(line["name"]).unread) <= KNOWN
        assert line["exact"].endswith(" class, 1e-9") != (line["exact"] == "no public class")
    assert [line["name"] for line in lines if line["exact"] == "no public class"] == ["zesrec"]
    assert {line["name"]: line["quirks"] for line in lines}["mmm4rec"] == [f.name for f in fields(Quirks)]


def test_the_page_of_systems_has_a_section_for_each_with_its_losses_and_a_table_of_their_quirks():
    page = (Path(__file__).parents[2] / "docs" / "systems.md").read_text(encoding="utf-8")
    _, *sections = re.split("^## ", page, flags=re.MULTILINE)
    assert sorted(section.split("\n")[0] for section in sections) == sorted(
        [*(m.title for m in MODELS.values()), "Switches"]
    )
    for section in sections[:-1]:
        title, about, drawing = re.fullmatch(r"(\S+)\n\n(.+?)\n\n```\n(.+?)\n```\n+", section, re.DOTALL).groups()
        spec = next(spec for spec in MODELS.values() if spec.title == title)
        assert about.startswith(f"`{spec.name}`, ")
        told = {*sum(spec.losses().values(), ()), *(spec.quirks if spec.name not in ("mmm4rec", "tim4rec_t") else ())}
        assert [word for word in told if f"`{word}`" not in about] == []
        assert 2 <= len(drawing.split("\n")) <= 6 and ("no class" in about.lower()) == ("no public" in spec.exact)
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \|", sections[-1], re.MULTILINE)
    found = {(quirk, name) for quirk, names in rows for name in names.split(", ")}
    assert found == {(quirk, spec.name) for spec in MODELS.values() for quirk in spec.quirks}
    drawn = "\n".join(re.findall(r"^```\n(.*?)^```", page, re.MULTILINE | re.DOTALL)).splitlines()
    tree = re.findall(r"([\w-]+) {3}", page.split("```")[1])
    assert max(map(len, drawn)) <= 100 and sorted(tree) == sorted(spec.title for spec in MODELS.values())


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
