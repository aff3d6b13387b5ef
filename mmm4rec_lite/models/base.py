"""What every system here is made of, MMM4Rec and those it is compared with.

====================  =====================================================================================
item encoder          ``items(ids)``: what is known of items -> vectors [..., d]; also makes the candidates
sequence encoder      ``users(batch)``: histories -> user vectors
scorer                ``score(users, candidates)``: over the catalogue, -inf for padding
losses                ``losses(batch, stage)``: named terms, weighted; their sum is trained
stages                "scratch", or "pretrain" on some domains and then "finetune" on another
====================  =====================================================================================

Training and evaluation know no more of a system than this. Letters: B rows of a batch, L steps, d width, I items,
K = I + 1 rows of a catalogue (row 0 is padding), F feature width.
"""

from dataclasses import dataclass, replace

import torch
from torch import nn

from mmm4rec_lite.models.losses import full_loss
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.typing import Int, Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Histories with what comes next, padded on the right.

    ``requests`` is when the target happened, which only a model with ``query_time`` may read.
    """

    items: Int[Tensor, "B L"]  # ids of items, 0 for padding
    lengths: Int[Tensor, " B"]
    times: Int[Tensor, "B L"]  # seconds, 0 for padding
    targets: Int[Tensor, " B"]
    requests: Int[Tensor, " B"]  # seconds

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on ``device``."""
        return Batch(**{name: tensor.to(device) for name, tensor in vars(self).items()})


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Frozen features of a catalogue: text [K, F], image [K, F], has_image [K] bool; row 0 is padding.

    ``augmented_text`` [K, F]: features of the same texts with some words left out, which two systems pre-train with;
    None where nobody asked for it.
    """

    text: torch.Tensor
    image: torch.Tensor
    has_image: torch.Tensor
    augmented_text: torch.Tensor | None = None

    def __len__(self):
        return len(self.text)


@dataclass(frozen=True)
class SystemConfig:
    """Sizes that most systems share; a system with more of them has a config of its own below this one."""

    d_model: int = 64  # d, width of items and users
    d_ff: int = 256  # inner width of the feed-forward layers
    n_layers: int = 2
    n_heads: int = 2  # of attention
    dropout: float = 0.5
    max_len: int = 50  # L, the window
    norm_eps: float = 1e-12  # of every LayerNorm, as in BERT

    def __post_init__(self):
        if self.d_model % self.n_heads:
            raise InputError(f"config: n_heads {self.n_heads} does not divide d_model {self.d_model}")

    def replace(self, **changes):
        return replace(self, **changes)


class Recommender(nn.Module):
    """Base of all systems. ``self.config`` has at least d_model, dropout and max_len."""

    stages = ("scratch",)
    item_specific = (
        "items.ids.",
    )  # beginnings of the names of tables with a row per item: they never leave a catalogue
    reset_on_transfer = ()  # what else a transfer starts anew
    rank_padding = False  # whether row 0 is a candidate (as some published code has it)
    leaks_target_time = False  # whether the target's time stamp stands in the input (the same)

    @property
    def window(self):
        """How many of the latest interactions the system is shown."""
        return self.config.max_len

    def users(self, batch):
        """User vectors [B, d] of a ``data.Batch``."""
        raise NotImplementedError

    def candidates(self, items=None):
        """What users are compared with: [K, d], or [len(items), d] for the given ids."""
        raise NotImplementedError

    def score(self, users, candidates=None):
        """Scores [B, K]; ``candidates``: the result of ``candidates()``, to reuse it over many batches."""
        scores = users @ (self.candidates() if candidates is None else candidates).T
        if not self.rank_padding:
            scores[:, 0] = -torch.inf
        return scores

    def losses(self, batch, stage):
        """Named terms of the loss, each already weighted. Here: cross-entropy over all items at the last step."""
        return {"cross_entropy": full_loss(self, self.users(batch), batch.targets)}

    def frozen(self, stage):
        """Beginnings of the names of parameters that ``stage`` does not train."""
        return ()

    def begin_epoch(self):
        """Called without gradients at the start of every epoch of training."""

    def drop_images(self, lost):
        """Take the pictures of some items [K] (bool) away from a trained system; it changes in place.

        Here nothing happens: a system that reads pictures says what their absence is to it.
        """

    def transfer(self, state):
        """Take over the weights of the same system trained on another catalogue; the rest starts anew."""
        left = self.item_specific + self.reset_on_transfer
        own = self.state_dict()
        moved = {k: v for k, v in state.items() if k in own and not k.startswith(left)}
        if wrong := [k for k in own if not k.startswith(left) and (k not in moved or moved[k].shape != own[k].shape)]:
            raise InputError(f"transfer: {wrong[0]} does not fit; pre-train with the same settings and encoder")
        self.load_state_dict(moved, strict=False)


class NextItem(Recommender):
    """The commonest system: an item encoder, a sequence encoder, dot products and cross-entropy at the last step."""

    def __init__(self, config, items, encoder):
        super().__init__()
        self.config, self.items, self.encoder = config, items, encoder

    def users(self, batch):
        return self.encoder(self.items(batch.items), batch)

    def candidates(self, items=None):
        return self.items() if items is None else self.items(items)


def last_state(states, lengths):
    """The state of each row's last real step: [B, L, d], [B] -> [B, d]."""
    return states[torch.arange(len(states), device=states.device), lengths - 1]


def init_bert(model):
    """BERT's start values: weights N(0, 0.02), biases 0; LayerNorms as torch has them."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return model


def count_parameters(model):
    """Parameters without the tables that have a row per item."""
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith(model.item_specific))
