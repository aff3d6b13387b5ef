"""TiM4Rec and TiM4Rec_T: MMM4Rec's copy of the authors' class, and its own variant over texts."""

from mmm4rec_lite.models.base import Recommender
from mmm4rec_lite.models.config import ModelConfig, Quirks
from mmm4rec_lite.models.tim4rec import tim4rec, tim4rec_t
from tests.support.goldens import Golden, check_padding_competes, check_ranking, filled, renamed

COUNTS = {"tim4rec": (157_248, 1_994_256), "tim4rec_t": (179_584, 2_090_512)}
UNREAD = ("encoder.tissd.1.enhance.",)  # the last layer hands a time signal on to no layer, as released
OURS = {
    r"^ssd_layers\.(\d+)\.ssd\.": r"encoder.tissd.\1.",
    r"^ssd_layers\.(\d+)\.ffn\.": r"encoder.feed_forward.\1.",
    r"^ssd_layers\.(\d+)\.layer_norm\.": r"encoder.norms.\1.",
    r"\.in_proj\.": ".project.",
    r"\.conv1d(_1)?\.": ".conv.",
    r"\.conv1d4time_": ".core.step.conv",
    r"\.mlp4time_scale\.": ".core.step.scale.",
    r"\.dt_bias$": ".core.step.bias",
    r"\.(A_log|D|norm\.weight)$": r".core.\1",
    r"\.out_proj\.": ".core.out.",
    r"\.time_gate_residual\.1\.": ".enhance.gate.",
    r"\.time_layer_norm\.": ".enhance.norm.",
    r"\.fc1\.": ".inner.",
    r"\.fc2\.": ".outer.",
    r"(feed_forward\.\d+)\.layer_norm\.": r"\1.norm.",
    r"^in_layer_norm\.": "encoder.norm.",
    r"^layer_norm_time\.": "encoder.times.norm.",
    r"^item_embedding\.": "items.ids.",
    r"^adapter\.0\.": "items.linear.",
}


def build(golden: Golden, **quirks: bool) -> Recommender:
    """Our model, sized and filled as the file says."""
    given, weights = golden.config, renamed(golden.values["state"], OURS)
    sizes = {name: given[name] for name in ("d_state", "d_conv", "expand", "head_dim", "norm_eps")}
    sizes |= dict(d_model=given["hidden_size"], d_ff=len(weights["encoder.feed_forward.0.inner.weight"]))
    sizes |= dict(n_layers=given["num_layers"], n_groups=given.get("n_groups", 1), gate_per_step=given["p2p_residual"])
    sizes |= dict(time=given["is_time"], max_len=golden.window, dropout=0.0, time_dropout=0.0)
    config = ModelConfig(**sizes, gaps="seconds", gap_vector=False, item_bias=False, quirks=Quirks(**quirks))
    model = (tim4rec if "items.ids.weight" in weights else tim4rec_t)(config, golden.catalogue)
    return filled(model, {**model.state_dict(), **weights})  # the mean of log-gaps is ours alone, and not read


def check_ranks_as_released(golden: Golden) -> None:
    """All rows with padded times and D dt x; without padding among the rivals, and with it."""
    model = build(golden, padded_times=True, skip_scaled=True)
    check_ranking(golden, model)
    golden.close(model.candidates(), "candidates")
    model.rank_padding = True
    check_padding_competes(golden, model)


def check_mamba2_has_no_step_size_in_its_skip(golden: Golden) -> None:
    """D x: all rows with padded times, and full rows as ours are."""
    meant, padded = golden.below("mamba2_skip"), build(golden, padded_times=True)
    check_ranking(meant, padded)
    check_ranking(meant, build(golden), ["full"])
    padded.rank_padding = True
    check_padding_competes(meant, padded)
