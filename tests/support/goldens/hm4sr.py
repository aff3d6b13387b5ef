"""HM4SR: MMM4Rec's copy of the authors' class, its tables loaded after construction; and what both and one do."""

import itertools

import pytest
import torch

from mmm4rec_lite.models.base import Batch
from mmm4rec_lite.models.hm4sr import HM4SR, HM4SRConfig, ThreeStreams
from tests.support.goldens import TRANSFORMER, Golden, check_ranking, filled, recbole, renamed

COUNTS = {"hm4sr": (761_925 - 65 * 64, 8_601_669 - 257 * 256)}  # but for a map that nothing reads
# what ATHWE calls so too
STREAMS = {
    r"^item_embedding\.": "items.ids.",
    r"^txt_projection\.": "text.linear.",
    r"^img_projection\.": "image.linear.",
    r"^position_embedding\.": "positions.",
    r"^placeholder_txt\.": "placeholders.0.",
    r"^placeholder_img\.": "placeholders.1.",
    r"^cat_linear\.": "category.",
    r"^item_(seq|ln)\.": r"encoders.0.\1.",
    r"^txt_(seq|ln)\.": r"encoders.1.\1.",
    r"^img_(seq|ln)\.": r"encoders.2.\1.",
    r"\.ln\.": ".norm.",
    r"\.seq\.layer\.": ".blocks.",
} | {pattern: ours for pattern, ours in TRANSFORMER.items() if not pattern.startswith("^")}
OURS = {
    r"^start_moe\.weight": "modal_experts.weights",
    r"^start_moe\.gate_id\.": "modal_experts.gates.0.",
    r"^start_moe\.gate_txt\.": "modal_experts.gates.1.",
    r"^start_moe\.gate_img\.": "modal_experts.gates.2.",
    r"^time_moe\.time_embedding\.": "time_experts.gaps.",
    r"^time_moe\.absolute_w\.": "time_experts.moment.",
    r"^time_moe\.gate\.": "time_experts.gate.",
}


def joined(state: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    """A list of tensors, taken out of the state; ``#`` stands for their numbers."""
    names = (name.replace("#", str(number)) for number in itertools.count())
    return torch.cat([state.pop(one) for one in itertools.takewhile(state.__contains__, names)])


def build(golden: Golden, **changes: object) -> HM4SR:
    """Our model, sized and filled as the file says, times in seconds."""
    given, state = golden.config, golden.values["state"]
    scale, rows = given["interval_scale"], len(state["time_moe.time_embedding.weight"])
    sizes = recbole(golden) | dict(experts=given["temporal_expert_num"], temperature=given["temperature"])
    sizes |= dict(
        modal_experts=given["start_expert_num"],
        mask_share=given["beta"],
        view_temperature=given["phcl_temperature"],
        time_unit=1.0,
    )
    config = HM4SRConfig(**sizes, interval_scale=scale, octaves=(rows - 1) // scale)
    model = HM4SR(config.replace(**changes), golden.catalogue)
    state = {name: value for name, value in state.items() if not name.startswith("time_moe.absolute_m.")}
    state |= {f"modal_experts.maps.{kind}": joined(state, f"start_moe.expert.#.{kind}") for kind in ("weight", "bias")}
    state["time_experts.vectors"] = joined(state, "time_moe.expert.#")
    return filled(model, renamed(state, STREAMS | OURS))


def losses(golden: Golden, model: ThreeStreams, mask: str) -> dict[str, dict[str, torch.Tensor]]:
    """Losses by batch, with the file's masks instead of drawn ones."""
    out = {}
    for name, one in golden.batches.items():
        model.masked = lambda _, name=name: golden.values["parts"][name][mask]
        out[name] = model.losses(one, "scratch")
    return out


def check_ranks_as_released(golden: Golden) -> None:
    """Users, scores, candidates and cross-entropy of all rows."""
    model = build(golden)
    check_ranking(golden, model)
    golden.close(model.candidates(), "candidates")


def check_padding_of_zeros_changes_nothing(golden: Golden) -> None:
    """The file's padded steps repeat the last time; ours are 0."""
    model = build(golden)
    for name, one in golden.batches.items():
        assert (blank(one).times == 0).any() or (one.lengths == golden.window).all()
        golden.close(model.users(blank(one)), "users", name)


def blank(one: Batch) -> Batch:
    """With times of 0 where nothing stands."""
    return Batch(**vars(one) | {"times": one.times * (one.items > 0)})


def check_streams_and_time(golden: Golden) -> None:
    """What stands behind both levels of experts, the embedding of time, and the users of the masked view."""
    model = build(golden)
    for name, one in golden.batches.items():
        mixed, part = model.mix(one), golden.values["parts"][name]
        golden.close(mixed.x.movedim(2, 0), "parts", name, "id, text, image before the encoders' LayerNorms")
        golden.close(mixed.time, "parts", name, "time embedding [gap; absolute]")
        views = model.encode(model.hide(mixed, part["PCL's mask"]), one.lengths)
        golden.close(views.transpose(0, 1), "parts", name, "users of PCL's text and image views")
        drawn = model.masked(one)
        assert torch.equal(drawn.sum(1), part["PCL's mask"].sum(1)) and not (drawn & (one.items == 0)).any()


def check_losses(golden: Golden) -> None:
    """Every term as meant, and the whole as released."""
    found = losses(golden, build(golden), "PCL's mask")
    released = losses(golden, build(golden, copies_as_zero=True, pad_item=True), "PCL's mask")
    for name in golden.batches:
        golden.close(found[name]["cross_entropy"], "losses", name, "cross-entropy")
        golden.close(found[name]["id_contrast"], "losses", name, "IDCL")
        golden.close(found[name]["category"], "losses", name, "CP")
        golden.close(found[name]["view_contrast"], "losses", name, "PCL")
        golden.close(released[name]["cross_entropy"], "losses", name, "cross-entropy, padding competes")
        golden.close(released[name]["id_contrast"], "losses", name, "IDCL, as released")
        golden.close(released[name]["view_contrast"], "losses", name, "PCL, as released")
        golden.close(sum(released[name].values()), "losses", name, "whole, as released")


def check_categories_are_misplaced_as_by_the_authors(golden: Golden) -> None:
    """Their lookup by (row, step), which fails where there are more steps than categories."""
    place = "CP, as the authors' class indexes it"
    if place in golden.values["losses"]["full"]:
        for name, found in losses(golden, build(golden, misplaced_items=True), "PCL's mask").items():
            golden.close(found["category"], "losses", name, place)


def check_every_weight_is_reached(golden: Golden) -> None:
    """Each has a gradient; of the file's only those that nothing reads have none. Fixed experts are frozen."""
    model = build(golden)
    sum(model.losses(golden.batches["short"], "scratch").values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(name.startswith("time_moe.absolute_m.") for name in golden.values["unreached"])
    assert model.frozen("scratch") == ()
    assert golden.values["as_released"]["temporal experts among the authors' parameters"] == []
    assert build(golden, fixed_experts=True).frozen("scratch") == ("time_experts.vectors",)


def check_tables_are_overwritten_as_in_the_copy(golden: Golden) -> None:
    """Noise of the file's spread instead of texts, images and categories; with the tables back all is as ever."""
    model = HM4SR(build(golden).config.replace(features_overwritten=True), golden.catalogue)
    spread = golden.values["as_released"]["standard deviation of the tables after construction"]
    tables = dict(txt_embedding=model.text.features, img_embedding=model.image.features, cat_embedding=model.categories)
    for name, table in tables.items():
        assert table.std().item() == pytest.approx(spread[name], rel=4 / table.numel() ** 0.5)  # 4 standard errors
