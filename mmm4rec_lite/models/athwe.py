"""ATHWE: HM4SR's streams, aligned band by band in wavelets, and sparse experts of time (Liu et al., ACM TOIS 2026).

Wavelets split each stream into bands of time scales, where every modality receives a gated share of all three. Of
eight vectors six are mixed by the gap alone, and one is always on. Two losses more than HM4SR's: which cluster of texts
and of images an item of the history belongs to, and how alike the vectors make the streams.

The wavelets are not causal: as in BSARec, that is legitimate only because every prefix of a history is a row of its
own. Against the release: there padded steps enter the wavelets (``padded_wavelets``; it holds whole windows alone), the
contrast with a masked view masks floor(0.2) = 0 items (``nothing_masked``), and clusters are k-medoids of all rows,
padding's included, by a table of all distances; here they are k-means of items, of those with an image for images.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from mmm4rec_lite.models.base import Batch, Catalogue, Losses, init_bert
from mmm4rec_lite.models.fast import Dropout
from mmm4rec_lite.models.hm4sr import Mixed, Streams, StreamsConfig, ThreeStreams, Time, gaps, real
from mmm4rec_lite.models.missrec import k_means
from mmm4rec_lite.utils.processes import gather, mean
from mmm4rec_lite.utils.typing import Bool, Float, Int, Tensor

# Daubechies' wavelet of four vanishing moments (db4): the filter that rebuilds the low band (Ten Lectures on Wavelets,
# 1992, table 6.1)
DB4 = [0.2303778133088965, 0.7148465705529157, 0.6308807679298589, -0.027983769416859854]
DB4 += [-0.18703481171909309, 0.030841381835560764, 0.0328830116668852, -0.010597401785069032]
NONE = -100  # no cluster


@dataclass(frozen=True)
class ATHWEConfig(StreamsConfig):
    """The release's sizes. The last two: what it does and a user would not want."""

    experts: int = 8
    top: int = 6  # of the experts that are mixed
    shared_experts: int = 1  # vectors that are always on
    temperature: float = 0.1
    mask_share: float = 0.2
    levels: int = 4  # J: a low band and so many high ones
    time_scale: float = 1.5e7  # seconds: a gap's code is time_span (1 - exp(-gap / time_scale))
    time_span: int = 200
    n_clusters: int = 100
    diversity_weight: float = 0.9
    padded_wavelets: bool = False  # padded steps enter the wavelets
    nothing_masked: bool = False  # the masked view masks nothing


class WaveletAlignment(nn.Module):
    """x_m + w_m (x'_m - x_m): bands y of x' are sums over modalities s of sigmoid(W_ms y_s) * y_s."""

    wavelets: Tensor

    def __init__(self, config: ATHWEConfig):
        super().__init__()
        bands = wavelets(config.max_len, config.levels)
        self.sizes = [len(band) for band in bands]
        self.register_buffer("wavelets", torch.cat(bands), persistent=False)
        # W [band, into m, from s, out, in]
        self.maps = nn.Parameter(torch.randn(len(bands), 3, 3, config.d_model, config.d_model) * 0.02)
        self.weights = nn.Parameter(torch.tensor([0.0, 1, 1]))  # w

    def forward(self, x: Streams) -> Streams:
        transform = self.wavelets[:, : x.shape[1]]  # of a window whose further steps are 0
        bands = torch.einsum("nl,blmd->bnmd", transform, x).split(self.sizes, 1)
        mixed = [
            (torch.einsum("msij,bnsj->bnmsi", W, y).sigmoid() * y.unsqueeze(2)).sum(3) for W, y in zip(self.maps, bands)
        ]
        rebuilt = torch.einsum("nl,bnmd->blmd", transform, torch.cat(mixed, 1))
        return x + self.weights.unsqueeze(1) * (rebuilt - x)


class SparseExperts(nn.Module):
    """x * (sum_k r_k e_k + shared e): a softmax gate over the ``top`` of the vectors e for all three streams."""

    def __init__(self, config: ATHWEConfig):
        super().__init__()
        d = config.d_model
        self.config, self.gaps = config, nn.Embedding(config.time_span + 1, d)
        self.route, self.gate = nn.Linear(d, 3 * d), nn.Linear(3 * d, config.experts)
        self.vectors = nn.Parameter(torch.randn(config.experts + config.shared_experts, 3 * d) * 0.1)
        self.dropout = Dropout(config.dropout)

    def embed(self, batch: Batch) -> Time:
        """Of gaps, by codes that saturate."""
        return self.gaps(
            (self.config.time_span * (1 - torch.exp(-gaps(batch) / self.config.time_scale))).round().long()
        )

    def chosen(self, time: Time) -> tuple[Float[Tensor, "B L top"], Int[Tensor, "B L top"]]:
        """The gate's weights, the largest first, and which experts' they are."""
        logits = self.gate(self.dropout(self.route(time).relu()))
        top = logits.topk(self.config.top)
        return top.values.softmax(-1), top.indices

    def forward(self, x: Streams, time: Time) -> Streams:
        weights, experts = self.chosen(time)
        each, always = self.vectors[: self.config.experts], self.vectors[self.config.experts :].sum(0)
        mixed = torch.zeros_like(x[:, :, 0, :1]).expand(-1, -1, len(each)).scatter(-1, experts, weights.to(x)) @ each
        return x * (mixed + always).unflatten(-1, (3, -1))

    def likeness(self, x: Streams) -> Float[Tensor, ""]:
        """The mean cosine between two experts' x * e, over all of the batch."""
        each = self.vectors[: self.config.experts]
        squares = gather(x.square().sum((0, 1)).flatten().unsqueeze(0))[0].sum(0)
        inner = (each * squares) @ each.T
        lengths = inner.diagonal().sqrt()
        cosines = inner / (lengths.unsqueeze(1) * lengths)
        return (cosines.sum() - cosines.trace()) / (len(each) * (len(each) - 1))


class ATHWE(ThreeStreams):
    """s_i = u . [p_1 E_i; p_2 W_t TXT_i; p_3 W_v IMG_i], p a learned softmax."""

    clusters: Tensor

    def __init__(self, config: ATHWEConfig, catalogue: Catalogue):
        super().__init__(config, catalogue)
        d = config.d_model
        self.align, self.time_experts = WaveletAlignment(config), SparseExperts(config)
        self.placeholders = nn.ModuleList(nn.Linear(d, d) for _ in range(2))
        self.cluster_heads = nn.ModuleList(nn.Linear(d, config.n_clusters) for _ in range(2))
        self.fusion = nn.Parameter(torch.zeros(3))
        init_bert(self)
        there = torch.arange(len(catalogue), device=catalogue.text.device) > 0
        found = (
            clusters(catalogue.text, there, config.n_clusters),
            clusters(catalogue.image, there & catalogue.has_image, config.n_clusters),
        )
        self.register_buffer("clusters", torch.stack(found), persistent=False)  # [2, K]

    def candidates(self, items: Int[Tensor, " n"] | None = None) -> Float[Tensor, "n d"]:
        return (self.vectors(items) * self.fusion.softmax(0).unsqueeze(1)).flatten(-2)

    def mix(self, batch: Batch) -> Mixed:
        x = self.start(batch)
        if not self.config.padded_wavelets:
            x = x * real(batch)[..., None, None]
        aligned, time = self.align(x), self.time_experts.embed(batch)
        return Mixed(self.time_experts(aligned, time), time, aligned)

    def masked(self, batch: Batch) -> Bool[Tensor, "B L"]:
        return super().masked(batch) & (not self.config.nothing_masked)

    def terms(self, batch: Batch, mixed: Mixed) -> Losses:
        """HM4SR's, the clusters of the history's items, and the likeness of experts."""
        known, at, _ = self.history(batch)
        parts = []
        for m, (head, labels) in enumerate(zip(self.cluster_heads, self.clusters[:, known])):
            wrong = F.cross_entropy(head(self.vectors(known)[:, m + 1]), labels, reduction="none", ignore_index=NONE)
            parts.append(mean(wrong[at][labels[at] != NONE], len(batch.items)))
        likeness = self.config.diversity_weight * self.time_experts.likeness(mixed.before)
        return super().terms(batch, mixed) | dict(clusters=sum(parts) / 2, diversity=likeness)


def wavelets(length: int, levels: int) -> list[Float[Tensor, "n L"]]:
    """Maps of a signal to its bands, the low one first, then high ones from the finest on; zeros around the signal.

    Together they are orthogonal: their transpose rebuilds the signal.
    """
    low = torch.tensor(DB4)
    filters = torch.stack([low, low.flip(0) * torch.tensor([1.0, -1] * 4)]).unsqueeze(1)
    x, high = torch.eye(length).unsqueeze(1), []
    for _ in range(levels):
        x, band = F.conv1d(F.pad(x, (6, 7 + x.shape[-1] % 2)), filters, stride=2).split(1, 1)
        high.append(band)
    return [band.squeeze(1).T for band in (x, *high)]


def whitened(x: Float[Tensor, "N F"]) -> Float[Tensor, "N F"]:
    """ZCA: uncorrelated columns of variance 1 (or 0), turned as little as possible."""
    x = x.double() - x.double().mean(0)
    variance, axes = torch.linalg.eigh(x.T @ x / len(x))
    scale = torch.where(variance > 1e-8 * variance.max(), variance.clamp(min=1e-300).rsqrt(), 0)
    return x @ (axes * scale) @ axes.T


def clusters(features: Float[Tensor, "K F"], there: Bool[Tensor, " K"], count: int) -> Int[Tensor, " K"]:
    """Every item's cluster among the whitened features of those that are ``there``, the same in every run."""
    out, number = torch.full((len(features),), NONE, device=features.device), int(there.sum())
    if number <= count:
        out[there] = torch.arange(number, device=features.device)
        return out
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        out[there] = k_means(whitened(features[there]), count)[1]
    return out
