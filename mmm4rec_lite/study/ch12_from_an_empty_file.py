"""Chapter 12: beside MMM4Rec written on the page, what compares it with the library's and shows its sizes."""

from typing import Any

import torch
from matplotlib.figure import Figure
from torch.nn.functional import cross_entropy

from mmm4rec_lite import features
from mmm4rec_lite.data import Dataset
from mmm4rec_lite.models.base import Batch, Catalogue
from mmm4rec_lite.utils.files import cache_dir
from mmm4rec_lite.utils.typing import Tensor
from mmm4rec_lite.viz.style import COLOURS, captioned, panel, styled


def shapes(**tensors: Tensor) -> None:
    """Print the shape of each tensor by name."""
    width = max(map(len, tensors))
    for name, tensor in tensors.items():
        print(f"{name:<{width}}  {list(tensor.shape)}")


def catalogue(store: Dataset) -> Catalogue:
    """The frozen features of the demo store's items, as chapter 1 extracts them."""
    file = cache_dir("features") / "store-sample-zeros.safetensors"
    return features.extract(store, features.load_encoder("packaged"), file).catalogue(store.items["item"])


def sizes(model: torch.nn.Module) -> dict[str, int]:
    """How many parameters each part of a model has."""
    parts = {"adapters": ("adapter_",), "item tables": ("bias_",), "TiSSD": ("layers.0.tissd",)}
    parts |= {"TiCoSSD": ("layers.0.ticossd",), "Fourier filter": ("layers.0.filter",)}
    counts = {name: p.numel() for name, p in model.named_parameters()}
    found = {part: sum(n for name, n in counts.items() if name.startswith(start)) for part, start in parts.items()}
    return found | {"norms and feed-forward": sum(counts.values()) - sum(found.values())}


def differences(own: Any, reference: Any, batch: Batch) -> dict[str, float]:
    """The largest difference between two models with the same weights, in float64: users, scores, loss, gradients.

    ``reference``: the library's; ``own``: anything with its ``forward`` and ``candidates``, and the same names.
    """
    found = []
    for model in (own, reference):
        model.double().eval().zero_grad()
        users = model(batch.items, batch.lengths, batch.times)
        scores = users @ model.candidates()[1:].T
        loss = cross_entropy(scores, batch.targets - 1)
        loss.backward()
        found.append((users, scores, loss, dict(model.named_parameters())))
    (*mine, mine_named), (*theirs, theirs_named) = found
    assert mine_named.keys() == theirs_named.keys()
    largest = lambda a, b: (a - b).abs().max().item()
    sizes = dict(zip(("users", "scores", "loss"), map(largest, mine, theirs)))
    return sizes | {"gradients": max(largest(mine_named[n].grad, theirs_named[n].grad) for n in mine_named)}


@styled
def plot_loss(losses: list[float], batches: int, title: str = "") -> Figure:
    """The loss of every batch by epoch; ``batches``: of an epoch."""
    figure, axis = panel(6.5, 2.6)
    axis.plot([(i + 1) / batches for i in range(len(losses))], losses, color=COLOURS[0], lw=1)
    axis.axhline(torch.tensor(240.0).log().item(), color="black", ls=":", lw=1)
    axis.set(xlabel="epochs", ylabel="cross-entropy (nats)")
    return captioned(figure, title)
