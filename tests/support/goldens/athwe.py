"""ATHWE: MMM4Rec's copy of the authors' class, clusters given; its wavelets and whitening; and what both and one do."""

import torch

from mmm4rec_lite.models.athwe import ATHWE, DB4, ATHWEConfig, wavelets, whitened
from tests.support.goldens import Golden, check_ranking, filled, recbole, renamed
from tests.support.goldens.hm4sr import STREAMS, joined, losses

COUNTS = {"athwe": (646_408 - 9 * 64, 8_581_384 - 9 * 256)}  # but for nine rows of gaps that nothing reads
OURS = {
    r"^fusion_weights": "fusion",
    r"^txt_classifier\.": "cluster_heads.0.",
    r"^img_classifier\.": "cluster_heads.1.",
    r"^time_moe\.wavelet_aligner\.weight": "align.weights",
    r"^time_moe\.time_embed\.": "time_experts.gaps.",
    r"^time_moe\.time_routing_proj\.": "time_experts.route.",
    r"^time_moe\.moe\.router\.gate\.": "time_experts.gate.",
}
MASK = "mask of floor(.2 n) steps, as was meant"


def build(golden: Golden, **changes: object) -> ATHWE:
    """Our model, sized and filled as the file says, with its clusters."""
    given = golden.config
    sizes = recbole(golden) | dict(
        experts=given["routed_expert_nums"], top=given["moe_topk"], levels=given["wavelet_J"]
    )
    sizes |= dict(
        shared_experts=given["shared_expert_nums"], temperature=given["temperature"], mask_share=given["beta"]
    )
    sizes |= {name: given[name] for name in ("time_scale", "time_span", "n_clusters")}
    sizes |= dict(diversity_weight=given["diversity_weight"] * given["cosine_lambda"])
    config = ATHWEConfig(**sizes, view_temperature=given["phcl_temperature"])
    model = ATHWE(config.replace(**changes), golden.catalogue)
    state = {name: value for name, value in golden.values["state"].items() if "wt." not in name}  # filters
    vectors = [joined(state, f"time_moe.moe.{kind}_experts.#") for kind in ("routed", "shared")]
    kinds, place = ("item", "txt", "img"), "time_moe.wavelet_aligner."
    bands = ["low_g.{}.#", *(f"high_g.{{}}.{level}.#" for level in range(given["wavelet_J"]))]
    maps = [[joined(state, f"{place}{band.format(kind)}.weight").chunk(3) for kind in kinds] for band in bands]
    state |= {"time_experts.vectors": torch.cat(vectors)}
    state["align.maps"] = torch.stack([torch.stack([torch.stack(each) for each in band]) for band in maps])
    state["time_moe.time_embed.weight"] = state["time_moe.time_embed.weight"][
        : given["time_span"] + 1
    ]  # no code beyond
    model = filled(model, renamed(state, STREAMS | OURS))
    model.clusters = torch.stack([golden.values["clusters"][kind] for kind in ("text", "image")])
    return model


def check_ranks_as_released(golden: Golden) -> None:
    """Users, scores, candidates and cross-entropy with padding in the wavelets; of full rows without, too."""
    model = build(golden, padded_wavelets=True)
    check_ranking(golden, model)
    golden.close(model.candidates(), "candidates")
    check_ranking(golden, build(golden), ["full"])


def check_ranks_without_padding_in_the_wavelets(golden: Golden) -> None:
    """The same with padded steps of 0 before them."""
    model = build(golden)
    for name, one in golden.batches.items():
        users, mixed = model.users(one), model.mix(one)
        golden.close(users, "padding_zeroed", "users", name)
        golden.close(model.score(users), "padding_zeroed", "scores", name, but_padding=True)
        likeness = model.config.diversity_weight * model.time_experts.likeness(mixed.before)
        golden.close(likeness, "padding_zeroed", "diversity", name)
        real = (one.items > 0)[..., None, None]
        residuals = mixed.before - model.start(one) * real
        golden.close(residuals.movedim(2, 0), "padding_zeroed", "residuals", name)


def check_parts(golden: Golden) -> None:
    """Alignment, time, the gate's choice, what stands behind the experts, and the users of a masked view."""
    model = build(golden, padded_wavelets=True)
    for name, one in golden.batches.items():
        mixed, part = model.mix(one), golden.values["parts"][name]
        residuals = (mixed.before - model.start(one)).movedim(2, 0)
        golden.close(residuals, "parts", name, "wavelet residuals: id, text, image")
        golden.close(mixed.time, "parts", name, "time embedding")
        weights, experts = (one.flatten(0, 1) for one in model.time_experts.chosen(mixed.time))
        golden.close(weights, "parts", name, "router's weights")
        assert torch.equal(experts, part["router's choice"])
        logits = model.time_experts.gate(model.time_experts.route(mixed.time).relu()).flatten(0, 1)
        golden.close(logits, "parts", name, "router's logits")
        golden.close(mixed.x.movedim(2, 0), "parts", name, "after the experts: id, text, image")
        views = model.encode(model.hide(mixed, part[MASK]), one.lengths).transpose(0, 1)
        golden.close(views, "parts", name, "users of text and image with that mask")
        assert torch.equal(ATHWE.masked(model, one).sum(1), part[MASK].sum(1))


def check_losses(golden: Golden) -> None:
    """Every term as meant, and the whole as released."""
    found = losses(golden, build(golden, padded_wavelets=True), MASK)
    quirks = dict(padded_wavelets=True, nothing_masked=True, copies_as_zero=True, pad_item=True)
    released, names = build(golden, **quirks), golden.values["losses"]
    for name, one in golden.batches.items():
        terms, theirs = found[name], released.losses(one, "scratch")
        golden.close(terms["cross_entropy"], "losses", name, "cross-entropy")
        golden.close(terms["id_contrast"], "losses", name, "IDCL")
        golden.close(terms["category"], "losses", name, "CP")
        golden.close(terms["clusters"], "losses", name, "clusters")
        golden.close(terms["view_contrast"], "losses", name, "TCL with the mask that was meant, twins out")
        golden.close(terms["diversity"], "losses", name, "diversity")
        golden.close(theirs["cross_entropy"], "losses", name, "cross-entropy, padding competes")
        golden.close(theirs["id_contrast"], "losses", name, "IDCL, as released")
        golden.close(theirs["view_contrast"], "losses", name, "TCL, as released (nothing masked)")
        golden.close(sum(theirs.values()), "losses", name, "whole, as released")
        assert set(names[name]) >= {"whole, as released"}


def check_items_are_misplaced_as_by_the_authors(golden: Golden) -> None:
    """Their lookups by (row, step), which fail where there are more steps than categories."""
    category, clusters = "CP, as the authors' class indexes it", "clusters, as the authors' class indexes them"
    if category in golden.values["losses"]["full"]:
        for name, found in losses(golden, build(golden, misplaced_items=True), MASK).items():
            golden.close(found["category"], "losses", name, category)
            golden.close(found["clusters"], "losses", name, clusters)


def check_every_weight_is_reached(golden: Golden) -> None:
    """Each has a gradient; with nothing masked that of the placeholders is 0, as in the file. Experts can be fixed."""
    places = {name.replace("placeholder_txt", "placeholders.0") for name in golden.values["unreached"]}
    places = {name.replace("placeholder_img", "placeholders.1") for name in places}
    for nothing in (False, True):
        model = build(golden, nothing_masked=nothing)
        sum(model.losses(golden.batches["full"], "scratch").values()).backward()
        idle = {name for name, parameter in model.named_parameters() if not parameter.grad.any()}
        assert idle == (places if nothing else set())
    assert golden.values["as_released"]["experts among the authors' parameters"] == []
    assert build(golden, fixed_experts=True).frozen("scratch") == ("time_experts.vectors",)


def check_wavelets(golden: Golden) -> None:
    """Forth and back at every length of the file, by PyWavelets' filters."""
    golden.close(torch.tensor(DB4), "wavelets", "db4", "rec_lo")
    for length, known in golden.values["wavelets"].items():
        if length != "db4":
            bands = wavelets(int(length), len(known["highs, finest first"]))
            low, *highs = (known["x [N, C, L]"] @ band.T for band in bands)
            golden.close(low, "wavelets", length, "low")
            for ours, theirs in zip(highs, known["highs, finest first"], strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
            rebuilt = torch.cat([low, *highs], -1) @ torch.cat(bands)
            golden.close(rebuilt, "wavelets", length, "rebuilt")


def check_whitening(golden: Golden) -> None:
    """ZCA of all rows; ours leaves padding's out."""
    golden.close(whitened(golden.catalogue.text), "whitened_text")
