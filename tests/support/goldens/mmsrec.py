"""MMSRec: the authors' class, its rows run one by one (it pads on the left)."""

from torch.nn import functional as F

from mmm4rec_lite.models.losses import full_loss
from mmm4rec_lite.models.mmsrec import MMSRec, MMSRecConfig
from tests.support.goldens import Golden, filled, renamed

COUNTS = {"mmsrec": (176_000 - 64, 1_588_736 - 256)}  # but for a prompt vector that no item takes
FROZEN = {"pretrain": ("mask.",)}
OURS = {
    r"^(in|out)put_transform\.vision_(transform|layer_norm)\.": r"\1.0.\2.",  # pictures first
    r"^(in|out)put_transform\.text_(transform|layer_norm)\.": r"\1.1.\2.",
    r"^in\.(\d)\.transform\.": r"features.\1.linear.",
    r"^in\.(\d)\.layer_norm\.": r"feature_norms.\1.",
    r"^out\.(\d)\.transform\.": r"heads.\1.0.",
    r"^out\.(\d)\.layer_norm\.": r"heads.\1.1.",
    r"^embedding\.position_embeddings\.": "positions.",
    r"^embedding\.modal_type_embeddings\.": "types.",
    r"^embedding\.mask_embeddings\.": "mask.",
    r"^embedding\.layer_norm\.": "norm.",
    r"^encoder_blocks\.transform\.layers\.": "blocks.",
    r"^encoder_blocks\.transform\.norm\.": "last_norm.",
    r"\.self_attn\.out_proj\.": ".attention.out.",
    r"\.linear1\.": ".feed_forward.inner.",
    r"\.linear2\.": ".feed_forward.outer.",
    r"\.norm1\.": ".attention.norm.",
    r"\.norm2\.": ".feed_forward.norm.",
}
TERMS = {
    "vision and vision": "image_and_image",
    "vision and text": "text_and_image",
    "text and text": "text_and_text",
    "both and both": "both_and_both",
}


def build(golden: Golden, **changes: object) -> MMSRec:
    """Our model, sized and filled as the file says, without the prompt that no item takes."""
    given, weights = golden.config, renamed(golden.values["state"], OURS)
    del weights["embedding.prompt_embeddings.weight"]
    for name in [name for name in weights if ".self_attn.in_proj_" in name]:
        block, kind = name.split("self_attn.in_proj_")
        parts = zip(("query", "key", "value"), weights.pop(name).chunk(3))
        weights |= {f"{block}attention.{part}.{kind}": value for part, value in parts}
    sizes = dict(d_model=given["fusion_embed_dim"], d_ff=given["fusion_feedforward_dim"], dropout=0.0)
    sizes |= dict(n_layers=given["fusion_layers"], n_heads=given["fusion_heads"], token_dropout=0.0)
    sizes |= dict(max_len=given["max_seq_length"], temperature=given["contrastive_temperature"])
    return filled(MMSRec(MMSRecConfig(**sizes).replace(**changes), golden.catalogue), weights)


def check_ranks_as_released(golden: Golden) -> None:
    """Users, candidates, scores over tau and their cross-entropy, of all rows."""
    model = build(golden)
    golden.close(model.candidates(), "candidates")
    for name, one in golden.batches.items():
        users, tau = model.users(one), model.config.temperature
        golden.close(users, "users", name)
        golden.close(model.score(users) / tau, "scores", name, but_padding=True)
        loss = full_loss(model, users / tau, one.targets)
        golden.close(loss, "losses", name, "cross-entropy at the mask behind the history")


def check_cloze(golden: Golden) -> None:
    """Cross-entropy at all slots that are asked for, some of them masked, some another item, some as they were."""
    model, given = build(golden), golden.values["cloze"]
    states = model.encode(given["shown"], given["mask"])[given["asked"]]
    loss = full_loss(model, F.normalize(states, dim=-1) / model.config.temperature, given["ids"][given["asked"]])
    golden.close(loss, "cloze", "cross-entropy")
    golden.close(loss, "losses", "full", "cloze")


def check_pre_training(golden: Golden) -> None:
    """Every term, a quarter of it each, and their sum."""
    terms = build(golden).contrastive(golden.values["pretraining"]["items"])
    for theirs, ours in TERMS.items():
        golden.close(terms[ours], "losses", "pretraining", theirs)
    golden.close(sum(terms.values()), "pretraining", "whole loss")
