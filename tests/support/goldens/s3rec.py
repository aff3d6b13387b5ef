"""S3-Rec: the class of the UniSRec repository, its features loaded after construction."""

import torch
from torch.nn import functional as F

from mmm4rec_lite.models.s3rec import Exercise, S3Rec, S3RecConfig
from tests.support.goldens import (
    TRANSFORMER,
    Golden,
    check_features_overwritten,
    check_padding_competes,
    check_ranking,
    filled,
    recbole,
    renamed,
)

COUNTS = {"s3rec": (169_152, 2_052_864)}
FROZEN = dict.fromkeys(("scratch", "finetune"), ("texts.", "heads."))
TASKS = {"AAP": "associated_attribute", "MIP": "masked_item", "MAP": "masked_attribute", "SP": "segment"}
INPUTS = ("masked", "true items", "negatives", "masked segment", "segment", "other segment")  # as in ``Exercise``
OURS = {r"^adapter\.mlp_layers\.1\.": "texts.linear.", r"^item_embedding\.": "items.ids."}
OURS |= {rf"^{short.lower()}_norm\.": f"heads.{task}." for short, task in TASKS.items()}


def config(golden: Golden, **changes: object) -> S3RecConfig:
    """The file's sizes and weights of the tasks."""
    weights = {task: golden.config[f"{short.lower()}_weight"] for short, task in TASKS.items()}
    return S3RecConfig(**recbole(golden) | weights | changes, mask_share=golden.config["mask_ratio"])


def build(golden: Golden, **changes: object) -> S3Rec:
    """Our model, sized and filled as the file says, whose texts take the place of noise, too."""
    model = S3Rec(config(golden, **changes), golden.catalogue)
    texts = {"texts.features": golden.catalogue.text} if model.config.features_overwritten else {}
    return filled(model, texts | renamed(golden.values["state"], TRANSFORMER | OURS))


def exercises(golden: Golden):
    """(name, batch, drawn inputs, padded on the left as they are in the file)."""
    for name, given in golden.values["pretraining"].items():
        yield name, golden.batches[name], Exercise(*(given[part] for part in INPUTS))


def check_ranks_as_released(golden: Golden) -> None:
    """Users, scores and cross-entropy of fine-tuning, with or without padding; the mask is no candidate."""
    model = build(golden)
    check_ranking(golden, model)
    golden.close(model.candidates(), "candidates")
    assert model.mask == golden.values["mask_token"]
    check_padding_competes(golden, build(golden, pad_item=True))


def check_the_four_tasks(golden: Golden) -> None:
    """Every term, attributes at their own steps, the attribute of padding among them; ours are without that one."""
    released, ours = build(golden, pad_item=True), build(golden)
    padding = F.relu(ours.texts.linear.bias)
    for name, _, given in exercises(golden):
        terms, without = (model.tasks(given, given.items) for model in (released, ours))
        masked = given.shown == ours.mask
        for short, where in (("AAP", (given.items > 0) & ~masked), ("MAP", masked)):
            states = ours.heads[TASKS[short]](golden.values["pretraining"][name]["states"][where])
            without[TASKS[short]] += F.softplus(states @ padding).sum()
        for short, task in TASKS.items():
            golden.close(terms[task], "pretraining", name, "terms, weight 1", short)
            golden.close(without[task], "pretraining", name, "terms, weight 1", short)


def check_the_four_tasks_as_released(golden: Golden) -> None:
    """From right-padded histories: shifted to the left, but for the attributes."""
    model = build(golden, pad_item=True, padded_left=True, features_overwritten=True)
    for name, batch, given in exercises(golden):
        steps = torch.arange(golden.window)
        back = (steps - batch.lengths.unsqueeze(1)) % golden.window
        model.exercise = lambda items, given=given, back=back: Exercise(*(part.gather(1, back) for part in given))
        assert torch.equal(model.exercise(batch.items).items, batch.items)
        terms = model.losses(batch, "pretrain")
        for short, task in TASKS.items():
            released = f"{short}, as released" if short in ("AAP", "MAP") else short
            sums = terms[task] * len(batch.items) / getattr(model.config, task)
            golden.close(sums, "pretraining", name, "terms, weight 1", released)
        golden.close(sum(terms.values()) * len(batch.items), "pretraining", name, "whole loss, as released")


def check_texts_are_overwritten_as_released(golden: Golden) -> None:
    """The table after construction is noise of the file's spread."""
    model = S3Rec(config(golden, features_overwritten=True), golden.catalogue)
    check_features_overwritten(golden, model.texts.features)
