"""Weights and configs of the authors' public code (AlwaysFHao/MMM4Rec at e0bc248), both ways.

A loaded model computes what the public code computes on a GPU, quirks included (``ModelConfig.official``).
The public names of the two filters are crossed (its ``vision_complex_weight`` filters the text signal); the
table below uncrosses them.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mmm4rec_lite.models.config import ModelConfig
from mmm4rec_lite.models.layers import FeedForward
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.utils.errors import InputError, first_line, refuse
from mmm4rec_lite.utils.typing import Float, Tensor

# public name -> here, inside a TiSSD or TiCoSSD, the layers around them, and at the top
SCAN = dict(dt_bias="core.step.bias", A_log="core.A_log", D="core.D", norm="core.norm", out_proj="core.out")
SCAN |= {"mlp4time_scale.1": "core.step.scale.1", "mlp4time_scale.3": "core.step.scale.3"}
SCAN |= dict(conv1d4time_1="core.step.conv1", conv1d4time_2="core.step.conv2", in_proj="project", conv1d_1="conv")
SCAN |= {"time_gate_residual.1": "enhance.gate", "time_layer_norm": "enhance.norm", "z_in_proj": "project_z"}
SCAN |= dict(u_in_proj="project_bx", u_conv1d="conv_bx", q_in_proj="project_c", q_conv1d="conv_c")
TEXT_LAYER = {"ffn.fc1": "ffn_text.inner", "ffn.fc2": "ffn_text.outer", "ffn.layer_norm": "ffn_text.norm"}
TEXT_LAYER |= dict(layer_norm="norm_text")
CROSS_LAYER = {"ffn.fc1": "ffn_fused.inner", "ffn.fc2": "ffn_fused.outer", "ffn.layer_norm": "ffn_fused.norm"}
CROSS_LAYER |= dict(layer_norm="norm_image", co_layer_norm="norm_fused")
CROSS_LAYER |= {"vision_complex_weight.0": "filter.text", "text_complex_weight.0": "filter.image"}
CROSS_LAYER |= {"co_complex_weight.0": "filter.learnable"}
TOP = dict(text_item_embedding_bias="bias_text", vision_item_embedding_bias="bias_image", fusion_factor="fusion")
TOP |= dict(text_in_layer_norm="norm_text", vision_in_layer_norm="norm_image", layer_norm_time="times.norm")
TOP |= {"text_adapter.0": "adapter_text", "vision_adapter.0": "adapter_image"}
FEATURES = ("text_embedding", "vision_embedding")  # buffers in the public state: the features themselves
GAP_SCALE = ("times.log_mean", "times.log_std")  # buffers that the public model has no use for
FUSION = {"static": "sum", "dynamic_shared": "shared", "dynamic_instance": "item"}

# field of ``ModelConfig`` -> public key, where the two differ
SIZES = dict(d_model="hidden_size", d_ff="inner_size", n_layers="num_layers", dropout="dropout_prob")
SIZES |= dict(time_dropout="time_dropout_prob", item_bias="is_modality_bias", time="is_time", ffn="is_ffn")
SIZES |= dict(gate_per_step="p2p_residual")
SAME = ("d_state", "d_conv", "expand", "head_dim", "n_groups", "max_len", "norm_eps", "temperature")


def official_config(config: Mapping[str, Any]) -> ModelConfig:
    """The ``ModelConfig`` of a public config mapping (keys as in its YAML files)."""
    fusion = FUSION.get(config.get("item_mm_fusion") or "static", "sum")
    try:
        fields = {field: config[key] for field, key in {**SIZES, **dict(zip(SAME, SAME))}.items()}
    except KeyError as error:
        raise InputError(f"official config: key {error} is missing; give the mapping of the public YAML file") from None
    return ModelConfig.official(**fields, fusion=fusion)


def load_official(
    state_dict: Mapping[str, Tensor] | Path | str,
    config: Mapping[str, Any],
    image_features: Float[Tensor, "K V"],
    text_features: Float[Tensor, "K T"],
) -> MMM4Rec:
    """A public model, ready to use.

    Parameters
    ----------
    state_dict : the public parameters by name, or a checkpoint's path, read without running anything in it
    config : the public config mapping
    image_features, text_features : row 0 for padding

    Raises
    ------
    InputError : parameters that lack, are too many or do not fit the config; a file that holds no plain tensors

    Examples
    --------
    >>> load_official("MMM4Rec.pth", public_config, image_features, text_features)  # doctest: +SKIP
    """
    public = _read(Path(state_dict)) if isinstance(state_dict, (str, Path)) else state_dict
    model = MMM4Rec(official_config(config), image_features=image_features, text_features=text_features)
    own = model.state_dict()
    places = {theirs: here for here in own if here not in GAP_SCALE for theirs in _public(here)}
    wanted, unused = set(places.values()), {*FEATURES, "fusion_factor"} - places.keys()  # there a constant 1
    given: dict[str, Tensor] = {}
    for name in sorted(public.keys() - unused):
        here, tensor = places.get(name, name), public[name]
        differs = here in given and not torch.equal(given[here], tensor)
        refuse(differs, f"official weights: {name} differs from its shared copy; the two must be one")
        given[here] = tensor
    for what, names in (("has no place for", given.keys() - wanted), ("lacks", wanted - given.keys())):
        hint = "check num_layers and the other switches of the config"
        refuse(names, f"official weights: the model of this config {what} {_some(names)}; {hint}")
    wrong = {name for name in wanted if own[name].shape != given[name].shape}
    refuse(wrong, f"official weights: the sizes of {_some(wrong)} differ from the config's")
    model.load_state_dict(given, strict=False)
    model.dropout.p = config.get("embedding_drop_prob", model.dropout.p)
    for module in model.modules():
        if isinstance(module, FeedForward):
            module.norm.eps = 1e-12  # whatever norm_eps says
    return model.eval()


def to_official(model: MMM4Rec) -> dict[str, Tensor]:
    """The model's parameters under the public names, ready for the public code's ``load_state_dict``.

    Features are left out. InputError for models that the public code has no form for.
    """
    own, public = model.config, ModelConfig.official()
    fixed = ("shared", "adaptive_filter", "learnable_filter", "gap_vector", "gaps", "quirks")
    odd = [name for name in fixed if getattr(own, name) != getattr(public, name)]
    refuse(odd, f"to_official: the public code has no form for this model's {', '.join(odd)}")
    tensors = {k: v.detach().clone() for k, v in model.state_dict().items() if k not in GAP_SCALE}
    state = {public_name: tensor for name, tensor in tensors.items() for public_name in _public(name)}
    if model.config.fusion == "sum":
        state["fusion_factor"] = torch.tensor(1.0)
    return state


def _public(name):
    """The public names of one of our parameters: one, or two for the shared TiSSD."""
    layer = re.fullmatch(r"layers\.(\d+)\.(.+)", name)
    if not layer:
        return [_renamed(name, TOP)]
    number, rest = layer.groups()
    if rest.startswith("tissd.0."):
        own = _renamed(rest.removeprefix("tissd.0."), SCAN)
        return [f"{side}_ssd_layers.{number}.ssd.{own}" for side in ("encoder", "decoder")]
    if rest.startswith("ticossd."):
        return [f"decoder_ssd_layers.{number}.co_ssd.{_renamed(rest.removeprefix('ticossd.'), SCAN)}"]
    in_text = any(rest.startswith(here + ".") for here in TEXT_LAYER.values())
    side, table = ("encoder", TEXT_LAYER) if in_text else ("decoder", CROSS_LAYER)
    return [f"{side}_ssd_layers.{number}.{_renamed(rest, table)}"]


def _renamed(name, table):
    for public, here in table.items():
        if name == here or name.startswith(here + "."):
            return public + name[len(here) :]
    raise InputError(f"official weights: {name} is no parameter of the public model")


def _read(path):
    """The state dict of a checkpoint file, its features and the like left in."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such checkpoint") from None
    except Exception as error:  # a stranger's file can fail anywhere in the reader
        raise InputError(
            f"{path}: not a checkpoint of plain tensors ({first_line(error)}); nothing in it was run"
        ) from None
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise InputError(f"{path}: holds no state dict (parameter name -> tensor)")
    return {name.removeprefix("_orig_mod."): tensor for name, tensor in state.items()}


def _some(names):
    names = sorted(names)
    return ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
