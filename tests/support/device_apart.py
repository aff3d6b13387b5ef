"""A device that needs no GPU and minds like one: what mixes its tensors with others, or reads them as numpy, fails.

Its tensors hold their numbers on the CPU and claim to be on torch's "meta" device, the only one that any build knows.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map

APART = torch.device("meta")
INDEXES = ("index", "index_put", "index_put_", "_unsafe_index", "_index_put_impl_")  # may be told by the CPU
MOVES = ("copy_", "_to_copy")


class Apart(torch.Tensor):
    """A tensor on the device; its numbers are in ``numbers``, on the CPU."""

    @staticmethod
    def __new__(cls, numbers):
        own = torch.Tensor._make_wrapper_subclass(
            cls, numbers.size(), numbers.stride(), numbers.storage_offset(), dtype=numbers.dtype, device=APART
        )
        own.numbers = numbers
        return own

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return _run(operation, args, kwargs or {})

    def tolist(self):
        return self.numbers.tolist()

    def numpy(self, **_):
        raise TypeError("a tensor of another device; use .cpu() first")

    __array__ = numpy


class Mode(TorchDispatchMode):
    """While it lasts, the device is there: tensors can be made on it and moved to it."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return _run(operation, args, kwargs or {})


def _run(operation, args, kwargs):
    name = operation._overloadpacket.__name__
    if name == "_fused_sdp_choice":
        return 0  # attention in plain operations
    given = [leaf for leaf in tree_iter((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    own = {id(one.numbers): one for one in given if isinstance(one, Apart)}
    foreign = [one for one in given if not isinstance(one, Apart) and one.dim() > 0]
    if own and foreign and name not in MOVES and not (name in INDEXES and isinstance(args[0], Apart)):
        raise RuntimeError(f"{name}: tensors of two devices, {[tuple(one.shape) for one in foreign]} from the CPU")
    there = isinstance(args[0], Apart) if name == "copy_" else bool(own)
    if kwargs.get("device") is not None:
        there, kwargs = torch.device(kwargs["device"]) == APART, {**kwargs, "device": "cpu"}
    inner = lambda leaf: leaf.numbers if isinstance(leaf, Apart) else leaf
    out = operation(*tree_map(inner, args), **tree_map(inner, kwargs))
    outer = lambda leaf: own.get(id(leaf)) if id(leaf) in own else Apart(leaf)
    return tree_map(lambda leaf: outer(leaf) if there and isinstance(leaf, torch.Tensor) else leaf, out)
