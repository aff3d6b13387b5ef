"""What all models have in common, MMM4Rec and those it is compared with.

An item encoder makes vectors of items, for histories and as candidates; a sequence encoder makes user vectors of
histories. Training and evaluation know no more of a model than ``Recommender``. It is trained from "scratch", or in two
stages: "pretrain" on some domains, then "finetune" on another. Letters: B rows of a batch, L steps, d width, I items,
K = I + 1 rows of a catalogue (row 0 is padding).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import torch
from torch import nn

from mmm4rec_lite.models.fast import by_length
from mmm4rec_lite.models.losses import full_loss
from mmm4rec_lite.utils.errors import InputError, refuse
from mmm4rec_lite.utils.tensorfile import finite
from mmm4rec_lite.utils.typing import Bool, Float, Int, Tensor

M = TypeVar("M", bound=nn.Module)
Users = Float[Tensor, "B d"]
Candidates = Float[Tensor, "*kinds n d"]
Losses = dict[str, Float[Tensor, ""]]
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
LATEST = 2**60  # seconds: differences of such are whole numbers, too


@dataclass(frozen=True, eq=False)
class Batch:
    """Histories with what comes next, padded on the right."""

    items: Int[Tensor, "B L"]  # ids of items, 0 for padding
    lengths: Int[Tensor, " B"]
    times: Int[Tensor, "B L"]  # seconds, 0 for padding
    targets: Int[Tensor, " B"]
    requests: Int[Tensor, " B"]  # seconds: when the target happened, which only a model with ``query_time`` may read

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on ``device``."""
        return type(self)(**{name: tensor.to(device) for name, tensor in vars(self).items()})

    def take(self, rows: Int[Tensor, " n"] | slice, width: int | None = None) -> "Batch":
        """Some rows, of ``width`` steps."""
        cut = lambda tensor: tensor if tensor.dim() == 1 else tensor[:, :width]
        return type(self)(**{name: cut(tensor[rows]) for name, tensor in vars(self).items()})


@dataclass(frozen=True, eq=False)
class WholeBatch(Batch):
    """Whole sequences: what comes next is a target at every step."""

    nexts: Int[Tensor, "B L"]


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Frozen features, a row per item behind row 0 for padding, as ``features.catalogue(ids)`` makes them.

    All models over a catalogue share its tables: none writes into them.

    Examples
    --------
    >>> len(Catalogue(text=torch.zeros(4, 8), image=torch.zeros(4, 6), has_image=torch.ones(4).bool()))  # three items
    4
    """

    text: Float[Tensor, "K T"]
    image: Float[Tensor, "K V"]
    has_image: Bool[Tensor, " K"]
    augmented_text: Float[Tensor, "K T"] | None = None  # of texts that lost some words, for two pre-trainings
    categories: Bool[Tensor, "K C"] | None = None  # which items have which categories, where any are known

    def __post_init__(self):
        tables = {name: table for name, table in vars(self).items() if table is not None}
        counts = {name: len(table) for name, table in tables.items()}
        refuse(
            len(set(counts.values())) > 1, f"features: a row per item, and row 0, in every table; these have {counts}"
        )
        for name, table in tables.items():
            refuse(not finite(table), f"features: {name} holds numbers that are not finite; extract the features again")

    def __len__(self) -> int:
        return len(self.text)

    def augmented(self) -> Float[Tensor, "K T"]:
        """``augmented_text``; InputError where there is none."""
        if self.augmented_text is None:
            lost = "texts with copies that lost some words: give their features (Catalogue.augmented_text)"
            raise InputError(f"pre-training this model contrasts {lost}")
        return self.augmented_text


class Modalities(NamedTuple):
    """One of each modality."""

    text: Tensor
    image: Tensor


def _checks(method: Any, targets: bool = True) -> Any:
    """A method of a batch which, called from outside, checks it first."""

    @wraps(method)
    def call(self: Any, batch: Batch, *more: Any, **named: Any) -> Any:
        if self.admits:
            return method(self, batch, *more, **named)
        refuse(not isinstance(batch, Batch), f"batch: expected a Batch, not {type(batch).__name__}")
        own, theirs = next(self.parameters()).device, getattr(batch.items, "device", None)
        refuse(
            theirs not in (own, None), f"batch: on {theirs}, but the weights on {own}; move it: batch.to({str(own)!r})"
        )
        with self.admitted(batch, targets) as batch:
            return method(self, batch, *more, **named)

    return call


class Recommender(nn.Module):
    """Base of all models. ``self.config`` has at least d_model, dropout and max_len."""

    config: Any
    rows: int | None = None  # of the catalogue, row 0 for padding; None: ids are not checked against it
    admits: bool = False  # whether what comes now was checked before
    stages: ClassVar[tuple[str, ...]] = ("scratch",)
    # beginnings of the names of tables with a row per item, which never leave a catalogue, and of what else starts anew
    item_specific: tuple[str, ...] = ("items.ids.",)
    reset_on_transfer: tuple[str, ...] = ()
    rank_padding: bool = False  # whether row 0 is a candidate (as some published code has it)
    leaks_target_time: bool = False  # whether the target's time stamp stands in the input (the same)

    def __init_subclass__(cls, **more: Any):
        super().__init_subclass__(**more)
        for name in {"users", "states", "losses"} & vars(cls).keys():
            setattr(cls, name, _checks(vars(cls)[name], targets=name == "losses"))

    @contextmanager
    def admitted(self, batch: Batch, targets: bool = True) -> Iterator[Batch]:
        """``batch``, checked where it is; inside, it or its copy on a device is taken without another look."""
        found = self.check(vars(batch), targets)
        batch = batch if all(v is found[name] for name, v in vars(batch).items()) else type(batch)(**found)
        self.admits = True
        try:
            yield batch
        finally:
            self.admits = False

    def check(self, given: dict[str, Tensor], targets: bool = False) -> dict[str, Tensor]:
        """The tensors of a ``Batch`` as the models take them, in torch.long; InputError for what cannot be right.

        Shapes, types, lengths, ids of the catalogue, order of times, and with ``targets`` what comes next.
        """
        B, L = _shapes(given)
        refuse(not B or not L, f"batch: {B} histories of {L} steps; there must be at least one of each")
        if L > self.window:
            told = f"items: {L} steps do not fit the window of {self.window}; keep the latest {self.window}"
            refuse(given["lengths"].max() > self.window, told)
            given = {name: tensor[..., : self.window] if tensor.dim() > 1 else tensor for name, tensor in given.items()}
            L = self.window
        given = {name: tensor if tensor.dtype == torch.int64 else tensor.long() for name, tensor in given.items()}
        found = {name: tensor.detach().cpu().numpy() for name, tensor in given.items()}
        items, lengths, rows = found["items"], found["lengths"], self.rows or 2**62
        told = f"lengths: every one must be in 1..{L}, the number of steps given"
        _all((lengths >= 1) & (lengths <= L), told)
        real, told = np.arange(L) < lengths[:, None], f"items: ids must be in 1..{rows - 1}, the catalogue's rows"
        _all((items != 0) | ~real, f"{told}, and padding (0) stands behind the history alone")
        if items.min() < 0 or items.max() >= rows:
            _all((items > 0) & (items < rows) | ~real, told)
            given["items"] = given["items"].where(torch.from_numpy(real).to(given["items"].device), 0)
        if (times := found.get("times")) is not None:
            _all((times > -LATEST) & (times < LATEST) | ~real, "times: must be seconds since 1970; these are too large")
            _all((times[:, 1:] >= times[:, :-1]) | ~real[:, 1:], "times: go back; a history has its oldest item first")
            if getattr(self.config, "query_time", False) and "requests" in found:
                late = found["requests"] >= times[np.arange(B), lengths - 1]
                _all(late & (found["requests"] < LATEST), "requests: must be seconds, not before the latest item")
        for name, where in (("targets", True), ("nexts", real)):
            if targets and name in found:
                _all((found[name] > 0) & (found[name] < rows) | ~np.asarray(where), told.replace("items", name))
        return given

    @property
    def window(self) -> int:
        """How many of the latest interactions the model is shown."""
        return self.config.max_len

    def users(self, batch: Batch) -> Users:
        """User vectors."""
        raise NotImplementedError

    def candidates(self, items: Int[Tensor, " n"] | None = None) -> Candidates:
        """What users are compared with: of the whole catalogue, or of the given ids."""
        raise NotImplementedError

    def score(self, users: Users, candidates: Candidates | None = None) -> Float[Tensor, "B K"]:
        """Scores of all items; ``candidates``: what ``candidates()`` gave, to reuse it over many batches."""
        scores = users @ (self.candidates() if candidates is None else candidates).T
        if not self.rank_padding:
            scores[:, 0] = -torch.inf
        return scores

    def states(self, batch: Batch) -> Float[Tensor, "B L d"]:
        """User vectors after every step: for causal models, whose steps see nothing later."""
        raise NotImplementedError

    @property
    def not_causal(self) -> str:
        """Why the loss at all positions would not be that of their prefixes; "" where it is."""
        return "its loss is not one at the last step of a causal sequence"

    def supervised(self, batch: Batch) -> tuple[Float[Tensor, "n d"], Int[Tensor, " n"]]:
        """Users and what they took next: each row's last, or of a ``WholeBatch`` those after every real step."""
        if not isinstance(batch, WholeBatch):
            return self.users(batch), batch.targets
        real = torch.arange(batch.items.shape[1], device=batch.items.device) < batch.lengths.unsqueeze(1)
        return self.states(batch)[real], batch.nexts[real]

    @_checks
    def losses(self, batch: Batch, stage: str) -> Losses:
        """Named terms of the loss, already weighted; here cross-entropy over all items."""
        return {"cross_entropy": full_loss(self, *self.supervised(batch))}

    def frozen(self, stage: str) -> tuple[str, ...]:
        """Beginnings of the names of parameters that ``stage`` does not train."""
        return ()

    def preparatory_epochs(self, stage: str) -> int:
        """How many first epochs only prepare ``stage``: on top of the configured ones, and none of them is the best."""
        return 0

    def begin_epoch(self, epoch: int = 0, stage: str = "scratch") -> None:
        """Called without gradients at the start of every epoch of training, counted from 0."""

    def drop_images(self, lost: Bool[Tensor, " K"]) -> None:
        """Take the images of some items away from a trained model, in place; nothing, where it reads none."""

    def transfer(self, state: Mapping[str, Tensor]) -> None:
        """Take over the weights of the same model trained on another catalogue; the rest starts anew."""
        left = self.item_specific + self.reset_on_transfer
        moving = {name: own for name, own in self.state_dict().items() if not name.startswith(left)}
        for name, own in moving.items():
            fits = name in state and state[name].shape == own.shape
            refuse(not fits, f"transfer: {name} does not fit; pre-train with the same settings and encoder")
        self.load_state_dict({name: state[name] for name in moving}, strict=False)


def _shapes(given):
    """(B, L) of a batch's tensors, once their kinds and shapes fit together."""
    for name, tensor in given.items():
        refuse(not isinstance(tensor, Tensor), f"{name}: expected a tensor, not {type(tensor).__name__}")
        whole = "must be whole numbers (torch.long)" + (", seconds since 1970" if name in ("times", "requests") else "")
        refuse(tensor.dtype not in WHOLE, f"{name}: {whole}, not {tensor.dtype}")
    shape, where = given["items"].shape, given["items"].device
    refuse(len(shape) != 2, f"items: expected [histories, steps], not the shape {list(shape)}")
    for name, tensor in given.items():
        wanted = shape if name in ("items", "times", "nexts") else shape[:1]
        refuse(tensor.shape != wanted, f"{name}: expected the shape {list(wanted)}, not {list(tensor.shape)}")
        refuse(tensor.device != where, f"{name}: on {tensor.device}, but items on {where}")
    return shape


def _all(fits, told):
    """InputError with the first row that does not fit."""
    if not fits.all():
        raise InputError(f"{told} (row {int(np.argwhere(~fits)[0, 0])})")


class NextItem(Recommender):
    """The commonest model: an item encoder, a sequence encoder, dot products and cross-entropy at the last step."""

    encoder: Any

    def __init__(self, config: Any, items: nn.Module, encoder: nn.Module, rows: int | None = None):
        super().__init__()
        self.config, self.items, self.encoder, self.rows = config, items, encoder, rows

    def users(self, batch: Batch) -> Users:
        if getattr(self.encoder, "reads_padding", False):
            return self.encoder(self.items(batch.items), batch)
        return by_length(self.items, self.encoder, batch)

    def states(self, batch: Batch) -> Float[Tensor, "B L d"]:
        return self.encoder.states(self.items(batch.items), batch)

    @property
    def not_causal(self) -> str:
        own = type(self).users is NextItem.users
        return getattr(self.encoder, "not_causal", super().not_causal) if own else super().not_causal

    def candidates(self, items: Int[Tensor, " n"] | None = None) -> Float[Tensor, "n d"]:
        return self.items(items)


def another_view(
    batch: Batch, catalogue: Catalogue, before: bool = False, items: float = 0.9, share: float = 0.2
) -> tuple[Batch, Bool[Tensor, "B L"]]:
    """Another view for contrasts (UniSRec, section 2.3.2; MISSRec): a batch, and whose texts are those that lost words.

    One coin per batch: with probability ``items`` every item but a history's first is dropped with probability
    ``share`` (``before``: or as released, see ``drop_items``); otherwise every item's text is, with probability
    ``share``, the one that lost some words.
    """
    catalogue.augmented()  # nothing is drawn where it is missing
    swap = torch.rand(batch.items.shape, device=batch.items.device) < share
    if torch.rand(()) < items:
        return drop_items(batch, swap, before), torch.zeros_like(swap)
    return batch, swap


def drop_items(batch: Batch, drop: Bool[Tensor, "B L"], before: bool = False) -> Batch:
    """The batch without the items where ``drop`` holds (a history's first one stays), closed up.

    ``before``: as released, where (on a CPU) an item to be dropped is written over the one before it, so that that one
    goes instead: the newest item never, the oldest sometimes.
    """
    steps, lengths = torch.arange(batch.items.shape[1], device=batch.items.device), batch.lengths.unsqueeze(1)
    drop = drop & (steps > 0)
    if before:
        drop = drop.roll(-1, 1) & (steps < lengths - 1)
    keep = ~drop & (steps < lengths)
    order = (~keep).int().argsort(dim=1, stable=True)
    kept = keep.gather(1, order)
    items, times = (table.gather(1, order) * kept for table in (batch.items, batch.times))
    return replace(batch, items=items, times=times, lengths=keep.sum(1))


def last_state(states: Float[Tensor, "B L d"], lengths: Int[Tensor, " B"]) -> Users:
    """The state of each row's last real step."""
    return states[torch.arange(len(states), device=states.device), lengths - 1]


def init_bert(model: M) -> M:
    """BERT's start values: weights N(0, 0.02), biases 0; LayerNorms as torch has them."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return model


def count_parameters(model: Recommender) -> int:
    """Parameters without the tables that have a row per item."""
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith(model.item_specific))
