"""Frozen picture and text encoders behind one interface, all loaded through open_clip (imported only then)."""

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from mmm4rec_lite.features.hub import import_torchvision, offline, quiet, require_hub
from mmm4rec_lite.features.packaged import packaged_folder
from mmm4rec_lite.utils.digest import digest
from mmm4rec_lite.utils.errors import InputError, first_line, refuse
from mmm4rec_lite.utils.optional import extra
from mmm4rec_lite.utils.typing import Float, Tensor

Device = str | torch.device
ENCODERS = ("packaged", "siglip", "random")
_VISION = dict(image_size=32, patch_size=16, width=64, head_width=32, layers=2)
_TEXT = dict(context_length=16, vocab_size=49408, width=32, heads=2, layers=2)
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_PLACES = ("hf_model_name", "hf_tokenizer_name")
# What a tokenizer makes of these tells two apart: case, accents, numbers, punctuation, padding, cutting.
_PROBES = ["", "Toy Story (1995)", "L'ÉTÉ, 3rd cut & 2 more: naïve_ＣＤ 日本", "word " * 600]


class Encoder:
    """A frozen pair of towers, made by `load_encoder`: pictures and texts in, rows of length 1 out.

    ``fingerprint`` is a digest of weights, architecture, picture settings and the tokenizer's output on fixed texts:
    features with equal ones may be mixed, others never. ``aligned`` says whether pictures and texts share one space, so
    that comparing them has a meaning; ``text_context``, at how many tokens a text is cut.
    """

    def __init__(self, name: str, model: Any, preprocess: Any, tokenizer: Any, architecture: dict, device: Device):
        self.name, self.device = name, torch.device(device)
        self.preprocessing = json.loads(json.dumps(model.visual.preprocess_cfg))
        self.text_context = tokenizer.context_length
        self._preprocess, self._tokenizer = preprocess, tokenizer
        # Where a tokenizer lies is no part of what is computed: a moved folder is the same encoder.
        text = {key: value for key, value in architecture["text_cfg"].items() if key not in _PLACES}
        layers = architecture | {"text_cfg": text}
        settings = [self.preprocessing, self.text_context, layers, tokenizer(_PROBES).tolist()]
        state = sorted(model.state_dict().items())
        weights = [(f"{key} {tensor.dtype} {tuple(tensor.shape)}", tensor) for key, tensor in state]
        self.fingerprint = digest(settings, *chain.from_iterable(weights))
        # channels_last: convolutions run up to twice as fast with it on a CPU.
        self._model = model.eval().requires_grad_(False).to(self.device, memory_format=torch.channels_last)
        # Only transformers' towers mask their padding, so only they can do without it.
        self._pad = getattr(getattr(getattr(model, "text", None), "config", None), "pad_token_id", None)
        with torch.inference_mode():
            size = self.preprocessing["size"]
            blank = torch.zeros(1, 3, *(size if isinstance(size, list) else (size, size)), device=self.device)
            self.image_dim = self._model.encode_image(blank).shape[-1]
            self.text_dim = self._model.encode_text(tokenizer([""]).to(self.device)).shape[-1]
        self.aligned = self.image_dim == self.text_dim
        self.normalised = True  # rows have length 1, as the features of the paper's public code

    def describe(self) -> dict[str, Any]:
        """What is stored with features: plain values by name."""
        names = "name fingerprint image_dim text_dim preprocessing text_context normalised aligned"
        return {name: getattr(self, name) for name in names.split()}

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str], batch_size: int = 32) -> Float[Tensor, "I Dt"]:
        """Encode texts to float32 rows of length 1, on the CPU."""
        out = torch.empty(len(texts), self.text_dim)
        if not len(texts):
            return out
        tokens = self._tokenizer(list(texts))
        used = torch.ones_like(tokens) if self._pad is None else tokens != self._pad
        lengths = (torch.arange(1, tokens.shape[1] + 1) * used).amax(dim=1).clamp(min=1)
        # Texts of like length together: a batch is then cut to its longest text.
        for rows in lengths.argsort(stable=True).split(batch_size):
            batch = tokens[rows, : lengths[rows].max()].to(self.device)
            out[rows] = F.normalize(self._model.encode_text(batch).float(), dim=-1).cpu()
        return out

    @torch.inference_mode()
    def encode_images(self, images: Iterable[Any], batch_size: int = 32) -> Float[Tensor, "I Di"]:
        """Encode PIL pictures, of which ``batch_size`` are taken at a time, to float32 rows of length 1, on the CPU."""
        images = iter(images)
        out = [torch.empty(0, self.image_dim)]
        while pixels := [self._preprocess(image) for image in islice(images, batch_size)]:
            rows = self._model.encode_image(torch.stack(pixels).to(self.device))
            out.append(F.normalize(rows.float(), dim=-1).cpu())
        return torch.cat(out)

    def __repr__(self):
        return f"Encoder({self.name!r}, image_dim={self.image_dim}, text_dim={self.text_dim}, {self.device})"


def load_encoder(name: str | Path, device: Device = "cpu") -> Encoder:
    """Load the encoder called ``name``; InputError for one that is unknown, unusable or out of reach.

    Parameters
    ----------
    name : "packaged": EfficientNet-Lite0 (1280) and all-MiniLM-L6-v2 (384), two separate spaces; "siglip": SigLIP B/16
        (768, 768), the paper's, which needs a model hub once; "random": a tiny untrained CLIP (32, 32) for tests; or
        the path (also behind "local-dir:") of an open_clip folder: ``open_clip_config.json`` and safetensors
    device : a torch device, such as "cpu" or "cuda"

    Examples
    --------
    >>> load_encoder("random")
    Encoder('random', image_dim=32, text_dim=32, cpu)
    """
    name = str(name)
    folder = Path(name.removeprefix("local-dir:")).expanduser()
    known, choice = name in ENCODERS or name.startswith("local-dir:") or folder.is_dir(), ", ".join(ENCODERS)
    refuse(not known, f"encoder {name!r} is not known: choose one of {choice} or the path of an open_clip folder")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {str(device)!r} cannot be used here ({first_line(error)}): choose 'cpu'") from error
    with extra("encoders"), quiet():
        import_torchvision()
        if build := {"siglip": _siglip, "random": _random}.get(name):
            return build(device)
        folder = packaged_folder() if name == "packaged" else Path(os.path.realpath(folder))
        return _from_folder(folder, name if name == "packaged" else folder.name, device)


def _from_folder(folder, name, device):
    import open_clip
    from transformers import PretrainedConfig

    config = folder / "open_clip_config.json"
    try:
        architecture = json.loads(config.read_text(encoding="utf-8"))["model_cfg"]
        text_config = architecture.get("text_cfg", {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder} is no open_clip folder: it lacks open_clip_config.json with a model_cfg") from error
    pickled = not list(folder.glob("*.safetensors"))
    refuse(pickled, f"{folder} holds no .safetensors weights: pickled weights are not read, convert them")
    beside = [file.name for file in folder.iterdir() if file.suffix.lower() in PICKLED]
    refuse(beside, f"{folder} holds pickled weights ({', '.join(beside)}), which open_clip may read: remove them")
    named = [Path(str(text_config[key])) for key in _PLACES if key in text_config]
    for file in chain.from_iterable(place.rglob("*.json") for place in (folder, *filter(Path.is_dir, named))):
        told = ""
        with suppress(ValueError, RecursionError, OSError):
            told = json.dumps(json.loads(file.read_text(encoding="utf-8")))  # in one spelling
        runs = [word for word in ("trust_remote_code", "auto_map") if f'"{word}"' in told]
        refuse(runs, f"{file} asks for code to be run ({', '.join(runs)}): remove that entry")
    try:
        with offline():
            model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
            # transformers 5 wants a config.json beside every tokenizer; open_clip's folders may have none.
            bare = "hf_tokenizer_name" in text_config and not (folder / "config.json").is_file()
            more = dict(config=PretrainedConfig()) if bare else {}
            tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}", **more)
    except Exception as error:  # a stranger's folder can fail in any layer below
        raise InputError(f"{folder} cannot be loaded by open_clip ({first_line(error)}): write it anew") from error
    return Encoder(name, model, preprocess, tokenizer, architecture, device)


def _siglip(device):
    import open_clip
    from transformers import PretrainedConfig

    name, tag = "ViT-B-16-SigLIP", "webli"  # as open_clip calls it

    def load():
        model, preprocess = open_clip.create_model_from_pretrained(name, pretrained=tag)
        return model, preprocess, open_clip.get_tokenizer(name, config=PretrainedConfig())

    try:
        with offline():
            loaded = load()
    except (OSError, RuntimeError, ValueError):  # not, or not all of it, in the hub's cache
        require_hub("SigLIP", "connect once, give the path of a downloaded open_clip folder, or use encoder 'packaged'")
        try:
            loaded = load()
        except Exception as error:
            raise InputError(f"SigLIP was not loaded from the model hub ({first_line(error)}): try again") from error
    return Encoder("siglip", *loaded, open_clip.get_model_config(name), device)


def _random(device):
    import open_clip

    architecture = dict(embed_dim=32, vision_cfg=_VISION, text_cfg=_TEXT)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(**architecture)
    size, mean, std = _VISION["image_size"], open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    model.visual.preprocess_cfg = dict(size=size, mean=mean, std=std)
    tokenizer = open_clip.SimpleTokenizer(context_length=_TEXT["context_length"])
    encoder = Encoder("random", model, open_clip.image_transform(size, is_train=False), tokenizer, architecture, device)
    encoder.aligned = False  # untrained
    return encoder
