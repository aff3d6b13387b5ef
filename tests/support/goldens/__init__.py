"""Golden numbers of the compared systems' public classes.

A file holds what one public class computes in float64 from drawn weights: users, scores, candidates, losses. A module
here per system says how that class's names and settings are called in this library: ``build(golden, **changes)`` gives
our model with the file's sizes and weights, functions ``check_...(golden)`` hold it against the file's numbers. What
else only a system's author knows, and tests/models/test_registry.py asks for, stands there too: ``COUNTS``, parameters
at widths 64 and 256, counted by hand from the paper and its released code; ``FROZEN``, the beginnings of the names of
weights that a stage leaves alone, by stage; ``UNREAD``, of weights that no output depends on.
"""

import importlib
import os
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import torch

from mmm4rec_lite.models.base import Batch, Catalogue, Recommender

TOLERANCE = 1e-9
SHARED = Path(__file__).parents[4] / "shared" / "reference" / "systems"
ADAPTERS = sorted((name for _, name, _ in pkgutil.iter_modules(__path__)), key=len, reverse=True)
# RecBole's transformer, as several systems have it: its names -> those of layers.Transformer below ``encoder``
TRANSFORMER = {
    r"^trm_encoder\.layer\.": "encoder.blocks.",
    r"multi_head_attention\.dense": "attention.out",
    r"multi_head_attention\.LayerNorm": "attention.norm",
    r"multi_head_attention": "attention",
    r"feed_forward\.dense_1": "feed_forward.inner",
    r"feed_forward\.dense_2": "feed_forward.outer",
    r"feed_forward\.LayerNorm": "feed_forward.norm",
    r"^position_embedding\.": "encoder.positions.",
    r"^LayerNorm\.": "encoder.norm.",
}
# Mamba's own names -> those of mamba4rec.MambaBlock
MAMBA = {
    r"mamba\.D$": "mamba.D_skip",
    r"mamba\.conv1d\.": "mamba.conv.",
    r"mamba\.dt_proj\.bias": "mamba.b_dt",
    r"mamba\.dt_proj\.": "mamba.W_dt.",
    r"mamba\.(in|x|out)_proj\.": r"mamba.W_\1.",
    r"\.w_1\.": ".inner.",
    r"\.w_2\.": ".outer.",
    r"\.LayerNorm\.": ".norm.",
}


@dataclass(frozen=True)
class Golden:
    """One file's values."""

    path: Path
    values: Mapping[str, Any]

    @property
    def system(self) -> str:
        """Its system, maybe with words behind it that tell files of one system apart."""
        return self.values.get("system", self.path.stem)

    @property
    def config(self) -> Mapping[str, Any]:
        """The public class's own settings."""
        return self.values["config"]

    @property
    def catalogue(self) -> Catalogue:
        """The items' features."""
        known = dict(self.values["catalogue"])
        if "reworded" in known:
            known["augmented_text"] = known.pop("reworded")
        return Catalogue(**known)

    @property
    def window(self) -> int:
        """Steps of a full history."""
        return self.values["batches"]["full"]["items"].shape[1]

    @property
    def batches(self) -> dict[str, Batch]:
        """Batches by name; a request comes with the latest interaction."""
        last = lambda one: one["times"].gather(1, one["lengths"].unsqueeze(1) - 1).squeeze(1)
        return {name: Batch(**one, requests=last(one)) for name, one in self.values["batches"].items()}

    def below(self, *place: str) -> "Golden":
        """The file with what it says at ``place`` in the place of its own numbers."""
        return replace(self, values={**self.values, **reduce(getitem, place, self.values)})

    def close(self, ours: Any, *place: str, but_padding: bool = False) -> None:
        """Assert that a value of ours is the file's at ``place``, such as "users", "short"; maybe but for column 0."""
        ours, theirs = (torch.as_tensor(one) for one in (ours, reduce(getitem, place, self.values)))
        if but_padding:
            ours, theirs = ours[:, 1:], theirs[:, 1:]
        told = lambda message: f"{self.path.name}, {', '.join(place)}: {message}"
        torch.testing.assert_close(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE, msg=told)


def adapter(system: str) -> Any:
    """The module of a system: the longest name that the system's begins with; None where there is none."""
    name = next((name for name in ADAPTERS if system.startswith(name)), None)
    return name and importlib.import_module(f"{__name__}.{name}")


def folder() -> Path:
    """That of the public classes' files: $MMM4REC_GOLDENS, else the shared one beside the checkout."""
    return Path(os.environ.get("MMM4REC_GOLDENS", SHARED))


def files() -> list[Path]:
    """What lies there."""
    return sorted(folder().glob("*.pt"))


def load(path: Path) -> Golden:
    """One file."""
    return Golden(path, torch.load(path, weights_only=True))


def renamed(state: Mapping[str, torch.Tensor], rules: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """Weights under other names: every rule (pattern -> replacement) in turn."""
    out = {}
    for name, value in state.items():
        for pattern, replacement in rules.items():
            name = re.sub(pattern, replacement, name)
        out[name] = value
    return out


def filled(model: Recommender, weights: Mapping[str, torch.Tensor]) -> Recommender:
    """The model in float64 with exactly these weights, for evaluation."""
    model = model.double()
    model.load_state_dict(weights)
    return model.eval()


def recbole(golden: Golden) -> dict[str, Any]:
    """The sizes of a public class that RecBole's names tell, as fields of our config."""
    given = golden.config
    sizes = dict(d_model=given["hidden_size"], d_ff=given["inner_size"], n_layers=given["n_layers"])
    sizes |= dict(norm_eps=given.get("layer_norm_eps", 1e-12), n_heads=given["n_heads"])
    return dict(**sizes, max_len=golden.window, dropout=0.0)


def mamba(golden: Golden) -> dict[str, Any]:
    """The same of classes on Mamba's block."""
    given = golden.config
    sizes = {name: given[name] for name in ("d_state", "d_conv", "expand")}
    sizes |= dict(d_model=given["hidden_size"], d_ff=4 * given["hidden_size"], n_layers=given["num_layers"])
    return dict(**sizes, max_len=golden.window, dropout=0.0)


def views(golden: Golden) -> Iterator[tuple[str, Batch, torch.Tensor, torch.Tensor, Batch]]:
    """One step of pre-training with a given view: its place, the batch, what drops, whose words go, and the view."""
    for place, known in golden.values.get("pretraining", {}).items():
        one = golden.batches[place.partition(",")[0]]
        other = replace(one, items=known["items"], lengths=known["lengths"])
        yield place, one, known["drop"], known["swap"] & ("word drop" in place), other


def check_ranking(golden: Golden, model: Recommender, batches: Sequence[str] | None = None) -> None:
    """Users, scores but the padding's, and the cross-entropy, of these batches (None: of all)."""
    for name, one in golden.batches.items():
        if batches is not None and name not in batches:
            continue
        users = model.users(one)
        golden.close(users, "users", name)
        scores = model.score(users)
        golden.close(scores, "scores", name, but_padding=True)
        assert (scores[:, 0] == -torch.inf).all()
        golden.close(model.losses(one, "scratch")["cross_entropy"], "losses", name, "cross-entropy")


def check_padding_competes(golden: Golden, model: Recommender) -> None:
    """A model whose padding is a candidate: all scores, and the cross-entropy with that rival."""
    for name, one in golden.batches.items():
        golden.close(model.score(model.users(one)), "scores", name)
        loss = model.losses(one, "scratch")["cross_entropy"]
        golden.close(loss, "losses", name, "cross-entropy, padding competes")


def check_released(golden: Golden, model: Recommender, temperature: float = 1.0) -> None:
    """Candidates (the file's are before ``temperature``) and all ranks; then with padding among the rivals, too."""
    check_ranking(golden, model)
    golden.close(model.candidates() * temperature, "candidates")
    model.rank_padding = True
    check_padding_competes(golden, model)


def check_features_overwritten(golden: Golden, texts: torch.Tensor) -> None:
    """A table of features after construction is noise, padding's row included, of the file's spread."""
    known = golden.values["as_released"]["standard deviation of the feature table after construction"]
    error = known / (2 * texts.numel()) ** 0.5  # of one table's standard deviation
    assert abs(texts.std().item() - known) < 4 * 2**0.5 * error
    assert abs(texts.mean().item()) < 4 * known / texts.numel() ** 0.5 and texts[0].any()
