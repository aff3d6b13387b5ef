"""M3Rec: ids, texts and images through one Mamba, with experts of their own (official code: Xu107/M3Rec).

No gate chooses an expert: each modality has its own feed-forward behind every Mamba block, which all three share.
Users are three times as wide as the model, and so are candidates. Against the release: there frozen features are start
values that the initialiser overwrites, so that texts and images are noise (``features_overwritten``), and texts and
images go through the shared blocks without gradients: they teach nothing but the last expert and, as candidates, the
adapters; their other experts and input norms never train (``detach_shared``).
"""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from mmm4rec_lite.models.base import Batch, Catalogue, Recommender, Users, init_bert, last_state
from mmm4rec_lite.models.fast import Dropout, by_length
from mmm4rec_lite.models.layers import FeatureAdapter, FeedForward, IdTable
from mmm4rec_lite.models.mamba4rec import Mamba4RecConfig, MambaMixer
from mmm4rec_lite.utils.typing import Bool, Float, Int, Tensor


@dataclass(frozen=True)
class M3RecConfig(Mamba4RecConfig):
    """The release's sizes."""

    dropout: float = 0.5
    max_len: int = 50
    detach_shared: bool = False  # as released: the shared Mamba learns from ids alone
    features_overwritten: bool = False  # as released: initialisation overwrites texts and images with noise N(0, 0.02)


class TwoLayerAdapter(FeatureAdapter):
    """g(x) = W2 LeakyReLU(W1 x + b1) + b2 of frozen features."""

    def __init__(self, features: Float[Tensor, "K F"], width: int, overwritten: bool = False):
        super().__init__(features, width, overwritten)
        self.outer = nn.Linear(width, width)

    def forward(self, ids: Int[Tensor, "*n"] | None = None) -> Float[Tensor, "*n d"]:
        return self.outer(F.leaky_relu(super().forward(ids)))


class Stream(nn.Module):
    """What one modality has for itself: LN(Drop(its item vectors)), and an expert behind each shared block."""

    def __init__(self, config: M3RecConfig, teaches: bool = True):
        super().__init__()
        self.norm, self.dropout = nn.LayerNorm(config.d_model, config.norm_eps), Dropout(config.dropout)
        self.experts = nn.ModuleList(FeedForward(config, inner_dropout=True) for _ in range(config.n_layers))
        self.teaches = teaches  # whether gradients pass through the shared blocks

    def forward(self, x: Float[Tensor, "B L d"], shared: nn.ModuleList) -> Float[Tensor, "B L d"]:
        x = self.norm(self.dropout(x))
        for mix, expert in zip(shared, self.experts):
            with nullcontext() if self.teaches else torch.no_grad():
                x = mix(x)
            x = expert(x)
        return x


class M3Rec(Recommender):
    """u = [alpha image; beta text; id] at the last step; s_i = u . [alpha g_v(i); beta g_t(i); E_i]."""

    item_specific = ("items.ids.", "image.features", "text.features")

    def __init__(self, config: M3RecConfig, catalogue: Catalogue):
        super().__init__()
        self.config, self.rows, d = config, len(catalogue), config.d_model
        pictured = catalogue.image * catalogue.has_image.unsqueeze(1)
        self.items = IdTable(len(catalogue), d)  # E
        self.mixers = nn.ModuleList(MambaMixer(config) for _ in range(config.n_layers))
        self.id_stream = Stream(config)
        self.image_stream, self.text_stream = (Stream(config, not config.detach_shared) for _ in range(2))
        self.alpha, self.beta = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
        init_bert(self)
        # The adapters g keep torch's start: an item without an image has its bias, which no norm may find at 0.
        self.image, self.text = (
            TwoLayerAdapter(features, d, config.features_overwritten) for features in (pictured, catalogue.text)
        )

    def users(self, batch: Batch) -> Users:
        three = lambda items: torch.cat([table(items) for table in (self.image, self.text, self.items)], dim=-1)
        return by_length(three, self.encode, batch)

    def encode(self, three: Float[Tensor, "B L ddd"], batch: Batch) -> Users:
        """The last states of all streams."""
        image, text, ids = three.chunk(3, dim=-1)
        states = [self.alpha * self.image_stream(image, self.mixers), self.beta * self.text_stream(text, self.mixers)]
        return last_state(torch.cat([*states, self.id_stream(ids, self.mixers)], dim=-1), batch.lengths)

    def candidates(self, items: Int[Tensor, " n"] | None = None) -> Float[Tensor, "n d"]:
        return torch.cat([self.alpha * self.image(items), self.beta * self.text(items), self.items(items)], dim=-1)

    def drop_images(self, lost: Bool[Tensor, " K"]) -> None:
        self.image.drop(lost)
