"""Golden files of our own making, for those without the shared ones: ``python -m tests.support.own_goldens [MODEL]``.

One per model: what it computed in float64 from these weights when the shared files agreed, as meant and with every
switch of what is released. The layout is theirs, but for names and settings, which are ours.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from mmm4rec_lite.models.base import Batch, Catalogue, Recommender
from mmm4rec_lite.models.config import ModelConfig, Quirks
from mmm4rec_lite.models.registry import get_model
from mmm4rec_lite.utils.tensorfile import load_tensors, save_tensors
from tests.support.models import NAMES, QUIET, drawn

FOLDER = Path(__file__).parents[1] / "models" / "goldens"
WIDTH, WINDOW, ITEMS = 8, 5, 12
NEVER = -1e300  # a score of -inf: files hold finite numbers alone
LENGTHS = dict(full=[5, 5, 5, 5], short=[5, 1, 3, 4], twins=[5, 1, 3, 4])


def released(name: str) -> dict[str, Any]:
    """Every switch of what public code does and a user would not want, on."""
    spec = get_model(name)
    switches = dict.fromkeys(spec.quirks, True)
    return dict(quirks=Quirks(**switches)) if isinstance(spec.config, ModelConfig) else switches


def build(name: str, values: Mapping[str, Any], as_released: bool = False) -> Recommender:
    """The file's model, in evaluation."""
    config = type(get_model(name).config)(**values["config"])
    torch.manual_seed(0)
    config = config.replace(**released(name)) if as_released else config
    model = get_model(name).build(config, Catalogue(**values["catalogue"])).eval()
    weights = values["state"]
    if as_released:  # some switches add weights or take some away
        weights = {**weights, **values["as_released"]["state"]}
        weights = {key: weights[key] for key in model.state_dict()}
    model.load_state_dict(weights)
    return model


def numbers(model: Recommender, batches: Mapping[str, Mapping[str, torch.Tensor]]) -> dict[str, Any]:
    """Candidates, users, scores and the terms of every stage's loss, whatever that draws."""
    found: dict[str, Any] = dict(candidates=model.candidates(), users={}, scores={}, losses={})
    for name, one in batches.items():
        batch = Batch(**one)
        found["users"][name] = model.users(batch)
        found["scores"][name] = model.score(found["users"][name]).clamp(min=NEVER)
        for stage in model.stages:
            torch.manual_seed(0)
            found["losses"].setdefault(name, {})[stage] = model.losses(batch, stage)
    return found


def make(name: str) -> dict[str, Any]:
    """One file's values."""
    spec, g = get_model(name), torch.Generator().manual_seed(0)
    known = {f.name for f in fields(spec.config)}
    small = {
        key: value
        for key, value in dict(**QUIET, d_ff=WIDTH, d_state=4, interval_scale=4, digits=2, values=3).items()
        if key in known
    }
    config = spec.sized(WIDTH, WINDOW, **small)
    catalogue = {key: value for key, value in vars(drawn(ITEMS + 1)).items() if value is not None}
    catalogue = {key: value.double() if value.is_floating_point() else value for key, value in catalogue.items()}
    for table in catalogue.values():
        table[0] = 0
    catalogue["image"] *= catalogue["has_image"].unsqueeze(1)
    torch.manual_seed(0)
    model = spec.build(config, Catalogue(**catalogue))
    with torch.no_grad():
        for p in model.parameters():  # so that nothing hides near zero
            p += 0.2 * torch.randn_like(p)
    model.begin_epoch()
    batches, steps = {}, torch.arange(model.window)
    for kind, lengths in LENGTHS.items():
        lengths = torch.tensor(lengths).clamp(max=model.window)
        real = steps < lengths.unsqueeze(1)
        items = torch.randint(1, ITEMS + 1, real.shape, generator=g) * real
        times = (10**9 + torch.randint(0, 10**6, real.shape, generator=g).cumsum(1)) * real
        targets = torch.tensor([3, 7, 3, 3] if kind == "twins" else [3, 7, 12, 1])
        batches[kind] = dict(items=items, lengths=lengths, times=times, targets=targets)
        batches[kind]["requests"] = times.amax(1) + 3600
    switches = released(name)
    plain = {key: value for key, value in asdict(config).items() if key not in switches}
    values = dict(system=name, config=plain, catalogue=catalogue, batches=batches, state=model.state_dict())
    values |= numbers(model.eval(), batches)
    if switches:
        torch.manual_seed(0)
        state = spec.build(config.replace(**switches), Catalogue(**catalogue)).state_dict()
        values["as_released"] = dict(state={key: state[key] for key in state.keys() - values["state"].keys()})
        values["as_released"] |= numbers(build(name, values, True), batches)
    return values


def flat(values: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    """The leaves of nested mappings by their places, joined with "/"."""
    out = {}
    for name, value in values.items():
        out.update(flat(value, f"{head}{name}/") if isinstance(value, Mapping) else {f"{head}{name}": value})
    return out


def save(values: Mapping[str, Any]) -> None:
    """Write a file."""
    leaves = flat({key: value for key, value in values.items() if key not in ("system", "config")})
    tensors = {place: value.detach().clone() for place, value in leaves.items()}
    save_tensors(path(values["system"]), "golden", tensors, system=values["system"], config=values["config"])


def load(name: str) -> dict[str, Any]:
    """A file's values."""
    tensors, values = load_tensors(path(name), "golden", f"write it: python -m tests.support.own_goldens {name}")
    values["as_released"] = dict(state={})
    for place, tensor in tensors.items():
        *outer, last = place.split("/")
        into = values
        for part in outer:
            into = into.setdefault(part, {})
        into[last] = tensor
    return values


def path(name: str) -> Path:
    """Where a model's file is."""
    return FOLDER / f"{name}.safetensors"


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64), torch.set_num_threads(1)
    for name in sys.argv[1:] or NAMES:
        save(make(name))
