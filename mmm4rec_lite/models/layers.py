"""Layers that the models share. Letters: B rows, L steps, d width, K rows of a catalogue, F feature width."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from mmm4rec_lite.models.base import Batch, Catalogue, NextItem, init_bert, last_state
from mmm4rec_lite.models.config import BaselineConfig, Config
from mmm4rec_lite.models.fast import Dropout, once
from mmm4rec_lite.utils.typing import Bool, Float, Int, Tensor


class IdTable(nn.Module):
    """A learned vector per item; without ids the whole table, as below."""

    def __init__(self, rows: int, width: int):
        super().__init__()
        self.ids = nn.Embedding(rows, width)

    def forward(self, ids: Int[Tensor, "*n"] | None = None) -> Float[Tensor, "*n d"]:
        return self.ids.weight if ids is None else self.ids(ids)


class FeatureAdapter(nn.Module):
    """Frozen features through a linear map. ``overwritten``: as in several releases, whose initialisation reaches the
    features, by noise N(0, 0.02), which has to be kept with the weights. Otherwise the table is the catalogue's own,
    without a copy: nothing writes into it."""

    features: Tensor
    linear: nn.Module

    def __init__(self, features: Float[Tensor, "K F"], width: int, overwritten: bool = False):
        super().__init__()
        frozen = torch.randn_like(features) * 0.02 if overwritten else features
        self.register_buffer("features", frozen, persistent=overwritten)
        self.linear = nn.Linear(features.shape[1], width)

    def forward(self, ids: Int[Tensor, "*n"] | None = None) -> Float[Tensor, "*n d"]:
        if ids is None or ids.dim() == 1:
            return self.linear(self.features if ids is None else self.features[ids])
        known, where = once(ids)  # each item of the histories through the map once
        return F.embedding(where, self.linear(self.features[known]))

    def drop(self, lost: Bool[Tensor, " K"]) -> None:
        """Zeros for the features of some items, in a table of its own."""
        self.features = self.features.masked_fill(lost.to(self.features.device).unsqueeze(1), 0)


class FeedForward(nn.Module):
    """LN(x + Drop(W2 f(W1 x))), with drop-out on f's output too where it is called for."""

    def __init__(self, config: Config, activation: Callable = F.gelu, inner_dropout: bool = False):
        super().__init__()
        self.inner, self.outer = nn.Linear(config.d_model, config.d_ff), nn.Linear(config.d_ff, config.d_model)
        self.norm, self.dropout = nn.LayerNorm(config.d_model, config.norm_eps), Dropout(config.dropout)
        self.activation, self.inner_dropout = activation, Dropout(config.dropout if inner_dropout else 0)

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        hidden = self.inner_dropout(self.activation(self.inner(x)))
        return self.norm(x + self.dropout(self.outer(hidden)))


class SelfAttention(nn.Module):
    """LN(x + Drop(MHA(x))) with scaled dot products, as in BERT (post-norm)."""

    def __init__(self, config: BaselineConfig):
        super().__init__()
        self.heads, self.dropout_rate = config.n_heads, config.dropout
        self.query, self.key, self.value, self.out = (nn.Linear(config.d_model, config.d_model) for _ in range(4))
        self.norm, self.dropout = nn.LayerNorm(config.d_model, config.norm_eps), Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B L d"], allowed: Bool[Tensor, "#B 1 #L L"]) -> Float[Tensor, "B L d"]:
        """``allowed``: whether a step (row) may look at another (column)."""
        q, k, v = (m(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for m in (self.query, self.key, self.value))
        y = F.scaled_dot_product_attention(q, k, v, allowed, dropout_p=self.dropout_rate if self.training else 0.0)
        return self.norm(x + self.dropout(self.out(y.transpose(1, 2).flatten(2))))


class TransformerBlock(nn.Module):
    """Attention, then feed-forward, both post-norm."""

    def __init__(self, config: BaselineConfig, inner_dropout: bool = False):
        super().__init__()
        self.attention = SelfAttention(config)
        self.feed_forward = FeedForward(config, inner_dropout=inner_dropout)

    def forward(self, x: Float[Tensor, "B L d"], allowed: Bool[Tensor, "#B 1 #L L"]) -> Float[Tensor, "B L d"]:
        return self.feed_forward(self.attention(x, allowed))


class Transformer(nn.Module):
    """SASRec: x = Drop(LN(items + positions)), the oldest item first, then blocks; the last real step is the user."""

    block: type[nn.Module] = TransformerBlock
    not_causal = ""

    def __init__(self, config: BaselineConfig):
        super().__init__()
        self.positions = nn.Embedding(config.max_len, config.d_model)
        self.norm, self.dropout = nn.LayerNorm(config.d_model, config.norm_eps), Dropout(config.dropout)
        self.blocks = nn.ModuleList(self.block(config) for _ in range(config.n_layers))

    def forward(self, x: Float[Tensor, "B L d"], batch: Batch) -> Float[Tensor, "B d"]:
        return last_state(self.states(x, batch), batch.lengths)

    def states(self, x: Float[Tensor, "B L d"], batch: Batch, *context: Tensor) -> Float[Tensor, "B L d"]:
        """Every step's; ``context``: what else the blocks are given."""
        return through(self.blocks, self.start(x), causal(x), *context)

    def start(self, x: Float[Tensor, "B L d"]) -> Float[Tensor, "B L d"]:
        """What the first block is given."""
        return self.dropout(self.norm(x + self.positions.weight[: x.shape[1]]))


def through(
    blocks: Iterable[nn.Module], x: Float[Tensor, "B L d"], allowed: Bool[Tensor, "#B 1 #L L"], *context: Tensor
) -> Float[Tensor, "B L d"]:
    """The states behind one block after the other."""
    for block in blocks:
        x = block(x, allowed, *context)
    return x


def causal(x: Float[Tensor, "B L d"]) -> Bool[Tensor, "1 1 L L"]:
    """Step t looks at steps s <= t, and so never at padding, which stands after every real step."""
    return torch.ones(1, 1, x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()


def next_item(
    encoder: type[nn.Module], by: str, config: Any, catalogue: Catalogue, start: Callable[..., NextItem] = init_bert
) -> NextItem:
    """A ``NextItem`` over a vector per item ("id") or a linear map of texts, in and out ("text": table 3's ``_T``)."""
    N = config.d_model
    items = IdTable(len(catalogue), N) if by == "id" else FeatureAdapter(catalogue.text, N)
    return start(NextItem(config, items, encoder(config), len(catalogue)))


def k_means(
    vectors: Float[Tensor, "N d"], count: int, passes: int = 5, batch_size: int = 2048
) -> tuple[Float[Tensor, "count d"], Int[Tensor, " N"]]:
    """Mini-batch k-means (Sculley, WWW 2010, algorithm 1): the centroids and each vector's nearest of them.

    A centroid is the running mean of all vectors that it was nearest to, over all passes. It starts at a vector drawn
    without repetition by torch's random state, so a seeded run repeats itself; one that is never nearest stays there.
    """
    drawn = lambda: torch.randperm(len(vectors)).to(vectors.device)
    centroids = vectors[drawn()[:count]].clone()
    seen = vectors.new_zeros(count, 1)
    for _ in range(passes):
        for rows in drawn().split(batch_size):
            near = nearest(vectors[rows], centroids)
            new = near.bincount(minlength=count).unsqueeze(1)
            sums = torch.zeros_like(centroids).index_add_(0, near, vectors[rows])
            seen += new
            centroids += (sums - new * centroids) / seen.clamp(min=1)
    return centroids, torch.cat([nearest(part, centroids) for part in vectors.split(batch_size)])


def nearest(vectors: Float[Tensor, "N d"], centroids: Float[Tensor, "count d"]) -> Int[Tensor, " N"]:
    """Index of each vector's nearest centroid by Euclidean distance."""
    return torch.addmm(centroids.square().sum(1), vectors, centroids.T, alpha=-2).argmin(1)


@torch.no_grad()
def product_codes(vectors: Float[Tensor, "I F"], digits: int, values: int, passes: int = 10) -> Int[Tensor, "I digits"]:
    """Optimised product quantisation (Ge et al., CVPR 2013, section 3.1): each vector's nearest centroid, by digit.

    The vectors are rotated and cut into ``digits`` parts. Each pass finds every part's nearest centroid, moves
    centroids to their means, and turns the rotation to where the centroids reconstruct the vectors best.
    """
    x = F.pad(vectors, (0, -vectors.shape[1] % digits))
    rotation = torch.linalg.qr(torch.randn(x.shape[1], x.shape[1], device=x.device, dtype=x.dtype))[0]
    start = torch.randperm(len(x))[:values].to(x.device)
    centroids = (x[start] @ rotation).unflatten(1, (digits, -1)).transpose(0, 1).contiguous()
    codes = torch.zeros(len(x), digits, dtype=torch.long, device=x.device)
    for _ in range(passes):
        before, parts = codes.clone(), (x @ rotation).unflatten(1, (digits, -1)).unbind(1)
        for m, means in enumerate(centroids):
            codes[:, m] = near = nearest(parts[m], means)
            means.scatter_reduce_(0, near.unsqueeze(1).expand_as(parts[m]), parts[m], "mean", include_self=False)
        if torch.equal(before, codes):
            break
        near = torch.stack([means[code] for means, code in zip(centroids, codes.T)], dim=1).flatten(1)
        left, _, right = torch.linalg.svd(x.T @ near)
        rotation = left @ right
    return codes
