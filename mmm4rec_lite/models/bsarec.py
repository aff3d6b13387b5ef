"""BSARec: self-attention beside a frequency filter (Shin et al., AAAI 2024, arXiv 2312.10325, section 4).

The filter mixes every step with all others, later ones too. That is legitimate only because every prefix of a history
is a row of its own and just its last step is supervised; never train this system on every step's next item.
In the release padding enters the filter: for a history of 8 items in a window of 50, 84 % of the signal says nothing
of the user, and what it says depends on the side that is padded. Here padded steps are 0 before the transform, which
always runs over the whole window, so that a bin means the same frequency in every row.
Its evaluator gives items of the history the score 0, which many others fall below; here they compete like all others.
"""

from dataclasses import dataclass

import torch
from torch import nn

from mmm4rec_lite.models.base import Batch, Catalogue, NextItem, init_bert
from mmm4rec_lite.models.config import BaselineConfig
from mmm4rec_lite.models.layers import FeedForward, IdTable, SelfAttention, Transformer
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.typing import Bool, Float, Tensor


@dataclass(frozen=True)
class BSARecConfig(BaselineConfig):
    """The MMM4Rec repository's settings. (The authors tune alpha, c and heads per dataset.)"""

    n_heads: int = 4
    dropout: float = 0.4
    attention_dropout: float = 0.5  # of attention weights
    alpha: float = 0.9  # the filter's share; attention has the rest
    c: int = 3  # "low" are the c // 2 + 1 lowest frequencies of the window, from the mean on

    def __post_init__(self):
        super().__post_init__()
        if not (0 <= self.alpha <= 1 and self.c >= 0):
            raise InputError(f"config: alpha must lie in [0, 1] and c be at least 0, not {self.alpha} and {self.c}")


def bsarec(config: BSARecConfig, catalogue: Catalogue) -> NextItem:
    """BSARec over a learned vector per item."""
    return init_bert(NextItem(config, IdTable(len(catalogue), config.d_model), BSAEncoder(config)))


class FrequencyMix(nn.Module):
    """F(x) = LN(x + Drop(low + s^2 high)).

    low: the lowest frequencies of x over the window; high: the rest; s [d] learned, squared: no gain is negative.
    """

    def __init__(self, config: BSARecConfig):
        super().__init__()
        self.window, self.bins = config.max_len, config.c // 2 + 1
        self.s = nn.Parameter(torch.randn(config.d_model))
        self.norm = nn.LayerNorm(config.d_model, config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B L d"], real: Bool[Tensor, "B L 1"]) -> Float[Tensor, "B L d"]:
        kept = x * real
        spectrum = torch.fft.rfft(kept, n=self.window, dim=1, norm="ortho")[:, : self.bins]
        # the inverse fills the missing high bins with zeros
        low = torch.fft.irfft(spectrum, n=self.window, dim=1, norm="ortho")[:, : x.shape[1]]
        return self.norm(x + self.dropout(low + self.s.square() * (kept - low)))


class BSABlock(nn.Module):
    """alpha F(x) + (1 - alpha) A(x) with A SASRec's attention, then feed-forward."""

    def __init__(self, config: BSARecConfig):
        super().__init__()
        self.filter, self.attention = FrequencyMix(config), SelfAttention(config)
        self.feed_forward = FeedForward(config)
        self.attention.dropout_rate = config.attention_dropout
        self.alpha = config.alpha

    def forward(
        self, x: Float[Tensor, "B L d"], allowed: Bool[Tensor, "#B 1 #L L"], real: Bool[Tensor, "B L 1"]
    ) -> Float[Tensor, "B L d"]:
        return self.feed_forward(self.alpha * self.filter(x, real) + (1 - self.alpha) * self.attention(x, allowed))


class BSAEncoder(Transformer):
    """SASRec's sequence encoder with the filter in every block."""

    block = BSABlock

    def states(self, x: Float[Tensor, "B L d"], batch: Batch, *context: Tensor) -> Float[Tensor, "B L d"]:
        """Every step's."""
        real = torch.arange(x.shape[1], device=x.device) < batch.lengths.unsqueeze(-1)
        return super().states(x, batch, real.unsqueeze(-1))
