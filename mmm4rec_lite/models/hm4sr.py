"""HM4SR: time-aware experts over ids, texts and images (Zhang et al., WWW 2025, arXiv 2501.14269, section 4).

Three streams of item vectors, of ids, texts and images in this order, each with a transformer of its own. Experts of
all three at once add to every stream, then vectors that are chosen by time scale it. Three losses stand beside the
cross-entropy: users' ids against their targets, text and image against a view in which time stands for some items, and
the categories of a history's items.

Against the releases: the gap into padding, negative there, is 0 here; times are days, where seconds make the cosine of
float32 a hash. Switches of the config keep what else they do: the authors' class holds its expert vectors in a list,
out of the optimiser's (and the weights file's) reach, and looks its category loss up by (row, step) in a table of
(place, category); MMM4Rec's copy draws texts, images and categories anew. Its maps of the absolute time that nothing
reads (``absolute_m``) are left out.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from mmm4rec_lite.models.base import Batch, Catalogue, Losses, Recommender, Users, init_bert, last_state
from mmm4rec_lite.models.config import BaselineConfig
from mmm4rec_lite.models.fast import Dropout, in_parts, once
from mmm4rec_lite.models.layers import FeatureAdapter, IdTable, TransformerBlock, causal, through
from mmm4rec_lite.models.losses import full_loss, in_batch
from mmm4rec_lite.utils.errors import InputError, refuse
from mmm4rec_lite.utils.processes import gather, mean
from mmm4rec_lite.utils.typing import Bool, Float, Int, Tensor

Streams = Float[Tensor, "B L 3 d"]
Time = Float[Tensor, "B L t"]


@dataclass(frozen=True)
class StreamsConfig(BaselineConfig):
    """What HM4SR and ATHWE share. The last four: what their releases do and a user would not want."""

    experts: int = 4  # vectors that time chooses from
    temperature: float = 0.2  # of users' ids against their targets
    view_temperature: float = 1.0  # of users against their masked view
    mask_share: float = 0.3  # beta: of a history's items that the view masks, rounded down
    fixed_experts: bool = False  # the vectors are never trained
    misplaced_items: bool = False  # losses of a history's items are looked up at wrong places
    copies_as_zero: bool = False  # in contrasts others' copies of the own target keep a logit of 0
    pad_item: bool = False  # row 0 (padding) competes


@dataclass(frozen=True)
class HM4SRConfig(StreamsConfig):
    """The release's sizes. The last: what it does and a user would not want."""

    modal_experts: int = 4  # maps of all three streams
    interval_scale: int = 100  # rows of the table of gaps for each doubling of gap + 1 s
    octaves: int = 28  # doublings that it has rows for; the release's table ends with its data's longest gap
    time_unit: float = 86_400.0  # seconds; released: 1
    features_overwritten: bool = False  # texts, images and categories are noise N(0, 0.02)


class Mixed(NamedTuple):
    """What the encoders read, the embedding of time, and what stood before the experts that time chooses."""

    x: Streams
    time: Time
    before: Streams


class Stream(nn.Module):
    """Blocks over Drop(LN(x)), to which positions were added before; the last real step is the user."""

    def __init__(self, config: BaselineConfig):
        super().__init__()
        self.norm, self.dropout = nn.LayerNorm(config.d_model, config.norm_eps), Dropout(config.dropout)
        self.blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.n_layers))

    def forward(self, x: Float[Tensor, "B L d"], lengths: Int[Tensor, " B"]) -> Users:
        return last_state(through(self.blocks, self.dropout(self.norm(x)), causal(x)), lengths)


class ThreeStreams(Recommender):
    """Base of HM4SR and ATHWE: u = [ids; texts; images], s_i = u . [E_i; W_t TXT_i; W_v IMG_i], and four losses."""

    categories: Tensor
    placeholders: nn.ModuleList  # what stands for a masked text, image

    def __init__(self, config: StreamsConfig, catalogue: Catalogue, noise: bool = False):
        super().__init__()
        if catalogue.categories is None:
            told = "give some (a column categories of the items, Catalogue.categories)"
            raise InputError(f"this model predicts the categories of items: {told}")
        self.config, self.rows = config, len(catalogue)
        d, known = config.d_model, catalogue.categories.to(catalogue.text)
        few = f"{known.shape[1]} categories are fewer than the window's {config.max_len} steps"
        short = config.misplaced_items and known.shape[1] < config.max_len
        refuse(short, f"config: misplaced_items takes steps for categories, and {few}")
        pictured = catalogue.image * catalogue.has_image.unsqueeze(1)
        self.items = IdTable(len(catalogue), d)  # E
        self.text, self.image = (FeatureAdapter(features, d, noise) for features in (catalogue.text, pictured))
        self.register_buffer("categories", torch.randn_like(known) * 0.02 if noise else known, persistent=noise)
        self.item_specific = ("items.ids.", *(("text.features", "image.features", "categories") if noise else ()))
        self.rank_padding = config.pad_item
        self.positions = nn.Embedding(config.max_len, d)
        self.encoders = nn.ModuleList(Stream(config) for _ in range(3))
        self.category = nn.Linear(3 * d, known.shape[1])

    def vectors(self, items: Int[Tensor, "*n"] | None = None) -> Float[Tensor, "*n 3 d"]:
        """Of ids, texts and images."""
        return torch.stack([self.items(items), self.text(items), self.image(items)], -2)

    def candidates(self, items: Int[Tensor, " n"] | None = None) -> Float[Tensor, "n d"]:
        return self.vectors(items).flatten(-2)

    def start(self, batch: Batch) -> Streams:
        """Item vectors and positions."""
        known, where = once(batch.items)  # each item through the maps once
        x = F.embedding(where, self.vectors(known).flatten(1)).unflatten(-1, (3, -1))
        return x + self.positions.weight[: x.shape[1], None]

    def mix(self, batch: Batch) -> Mixed:
        """What experts make of them."""
        raise NotImplementedError

    def encode(self, x: Float[Tensor, "B L s d"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B s d"]:
        """Users of the last s streams."""
        encoders = self.encoders[-x.shape[2] :]

        def users(rows, width):
            streams = zip(encoders, x[rows, :width].unbind(2))
            return torch.stack([encoder(one, lengths[rows]) for encoder, one in streams], 1)

        return in_parts(users, lengths, x.shape[1])

    def users(self, batch: Batch) -> Users:
        return self.encode(self.mix(batch).x, batch.lengths).flatten(1)

    def losses(self, batch: Batch, stage: str) -> Losses:
        """Cross-entropy over all items, two contrasts in the batch, and the categories of the history."""
        return self.terms(batch, self.mix(batch))

    def terms(self, batch: Batch, mixed: Mixed) -> Losses:
        """The same, from what ``mix`` made."""
        users, config = self.encode(mixed.x, batch.lengths), self.config
        views = self.encode(self.hide(mixed, self.masked(batch)), batch.lengths)
        contrasts = [self.contrast(users[:, m + 1], views[:, m], batch, config.view_temperature) for m in range(2)]
        known, at, steps = self.history(batch)
        wrong = F.binary_cross_entropy_with_logits(
            self.category(self.vectors(known).flatten(1)), self.categories[known], reduction="none"
        )
        return dict(
            cross_entropy=full_loss(self, users.flatten(1), batch.targets),
            id_contrast=self.contrast(users[:, 0], self.items(batch.targets), batch, config.temperature),
            view_contrast=torch.stack(contrasts).mean(),
            category=mean(wrong[at, steps] if config.misplaced_items else wrong.mean(1)[at], len(users)),
        )

    def contrast(self, one: Users, other: Users, batch: Batch, temperature: float) -> Float[Tensor, ""]:
        """InfoNCE of cosines in the batch."""
        logits = F.normalize(one, dim=-1) @ gather(F.normalize(other, dim=-1))[0].T / temperature
        return in_batch(logits, batch.targets, muted=0.0 if self.config.copies_as_zero else -torch.inf)

    def masked(self, batch: Batch) -> Bool[Tensor, "B L"]:
        """``mask_share`` of each history's items, drawn anew."""
        draw = torch.rand(batch.items.shape, device=batch.items.device).masked_fill(~real(batch), torch.inf)
        count = (self.config.mask_share * batch.lengths).floor()
        return draw.argsort(1).argsort(1) < count.unsqueeze(1)

    def hide(self, mixed: Mixed, masked: Bool[Tensor, "B L"]) -> Float[Tensor, "B L 2 d"]:
        """Texts and images, where ``masked`` a map of time."""
        instead = torch.stack([placeholder(mixed.time) for placeholder in self.placeholders], 2)
        return torch.where(masked[..., None, None], instead, mixed.x[:, :, 1:])

    def history(self, batch: Batch) -> tuple[Int[Tensor, " n"], Int[Tensor, " m"], Int[Tensor, " m"]]:
        """The batch's distinct items, and of every real step: where its item stands among them, its number."""
        known, where = once(batch.items)
        rows, steps = real(batch).nonzero(as_tuple=True)
        # released: the number of the row where the place among the batch's steps was meant
        return known, where.flatten()[rows] if self.config.misplaced_items else where[rows, steps], steps

    def frozen(self, stage: str) -> tuple[str, ...]:
        return ("time_experts.vectors",) if self.config.fixed_experts else ()

    def drop_images(self, lost: Bool[Tensor, " K"]) -> None:
        self.image.drop(lost)


class InteractiveExperts(nn.Module):
    """x_m + w_m sum_k g_mk f_k(x)_m: maps f_k of all three streams at once, a gate g_m of each stream's own."""

    def __init__(self, config: HM4SRConfig):
        super().__init__()
        d, count = config.d_model, config.modal_experts
        self.maps = nn.Linear(3 * d, count * 3 * d)  # f_1, f_2, ...
        self.gates = nn.ModuleList(nn.Linear(d, count) for _ in range(3))
        self.weights = nn.Parameter(torch.tensor([0.0, 1, 1]))  # w

    def forward(self, x: Streams) -> Streams:
        outputs = self.maps(x.flatten(2)).unflatten(-1, (-1, 3, x.shape[-1]))
        gates = torch.stack([gate(one).softmax(-1) for gate, one in zip(self.gates, x.unbind(2))], 2)
        return x + self.weights.unsqueeze(1) * torch.einsum("blmk,blkmd->blmd", gates, outputs)


class TimeExperts(nn.Module):
    """x * sum_k r_k e_k: vectors e_k for all three streams, mixed by a gate r that reads gaps and moments."""

    def __init__(self, config: HM4SRConfig):
        super().__init__()
        d = config.d_model
        self.config = config
        self.gaps = nn.Embedding(config.interval_scale * config.octaves + 1, d)
        self.moment, self.gate = nn.Linear(1, d), nn.Linear(2 * d, config.experts)
        self.vectors = nn.Parameter(torch.randn(config.experts, 3 * d) * 0.1)

    def embed(self, batch: Batch) -> Time:
        """[gap; moment]: a row for floor(scale log2(gap + 1)), and cos((w t + b) 10000^(-k/d))."""
        rows = (self.config.interval_scale * torch.log2(gaps(batch) + 1.0)).long()
        gap = self.gaps(rows.clamp(max=self.gaps.num_embeddings - 1))
        days = (batch.times / self.config.time_unit).to(gap).unsqueeze(-1)
        phases = days * self.moment.weight.squeeze(1) + self.moment.bias  # in float32, whatever autocast makes of maps
        frequencies = 10_000 ** -(torch.arange(gap.shape[-1], device=gap.device) / gap.shape[-1])
        return torch.cat([gap, torch.cos(phases * frequencies)], -1)

    def forward(self, x: Streams, time: Time) -> Streams:
        return x * (self.gate(time).softmax(-1) @ self.vectors).unflatten(-1, (3, -1))


class HM4SR(ThreeStreams):
    """Experts of all modalities, then experts of time."""

    def __init__(self, config: HM4SRConfig, catalogue: Catalogue):
        super().__init__(config, catalogue, config.features_overwritten)
        self.modal_experts, self.time_experts = InteractiveExperts(config), TimeExperts(config)
        self.placeholders = nn.ModuleList(nn.Linear(2 * config.d_model, config.d_model) for _ in range(2))
        init_bert(self)

    def mix(self, batch: Batch) -> Mixed:
        x, time = self.modal_experts(self.start(batch)), self.time_experts.embed(batch)
        return Mixed(self.time_experts(x, time), time, x)


def real(batch: Batch) -> Bool[Tensor, "B L"]:
    """Which steps are no padding."""
    return torch.arange(batch.items.shape[1], device=batch.items.device) < batch.lengths.unsqueeze(1)


def gaps(batch: Batch) -> Int[Tensor, "B L"]:
    """Seconds since the step before; 0 for the first step and into padding."""
    return F.pad(batch.times.diff(dim=1), (1, 0)).clamp(min=0)
