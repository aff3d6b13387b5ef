"""BSARec: self-attention beside a frequency filter (Shin et al., AAAI 2024, arXiv 2312.10325, section 4).

The filter mixes every step with all others, later ones too. That is legitimate only because every prefix of a history
is a row of its own and just its last step is supervised; never train this system on every step's next item.
In the release padding enters the filter (84 % of the signal for 8 items in a window of 50; ``padding_in_filter``). Here
padded steps are 0 before the transform, which always runs over the whole window, so that a bin means the same frequency
in every row.
Its evaluator gives items of the history the score 0, which many others fall below; here they compete like all others.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from mmm4rec_lite.models.base import Batch
from mmm4rec_lite.models.config import BaselineConfig
from mmm4rec_lite.models.fast import Dropout
from mmm4rec_lite.models.layers import FeedForward, SelfAttention, Transformer, next_item
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.utils.typing import Bool, Float, Tensor

Steps = Float[Tensor, "B L d"]
Real = Bool[Tensor, "B L 1"]  # steps that are no padding


@dataclass(frozen=True)
class BSARecConfig(BaselineConfig):
    """The MMM4Rec repository's settings. (The authors tune alpha, c and heads per dataset.)"""

    n_heads: int = 4
    dropout: float = 0.4
    attention_dropout: float = 0.5  # of attention weights
    alpha: float = 0.9  # the filter's share; attention has the rest
    padding_in_filter: bool = False  # as released: padded steps count as items in the filter
    c: int = 3  # "low" are the c // 2 + 1 lowest frequencies of the window, from the mean on

    def __post_init__(self):
        super().__post_init__()
        wrong = not (0 <= self.alpha <= 1 and self.c >= 0)
        refuse(wrong, f"config: alpha must lie in [0, 1] and c be at least 0, not {self.alpha} and {self.c}")


class FrequencyMix(nn.Module):
    """LN(x + Drop(low + s^2 high)): low, the lowest frequencies of x over the window; high, the rest; s [d] learned."""

    def __init__(self, config: BSARecConfig):
        super().__init__()
        self.window, self.bins, self.whole = config.max_len, config.c // 2 + 1, config.padding_in_filter
        self.s = nn.Parameter(torch.randn(config.d_model))
        self.norm, self.dropout = nn.LayerNorm(config.d_model, config.norm_eps), Dropout(config.dropout)

    def forward(self, x: Steps, real: Real) -> Steps:
        kept = x if self.whole else x * real
        spectrum = torch.fft.rfft(kept, n=self.window, dim=1, norm="ortho")[:, : self.bins]
        # the inverse fills the missing high bins with zeros
        low = torch.fft.irfft(spectrum, n=self.window, dim=1, norm="ortho")[:, : x.shape[1]]
        return self.norm(x + self.dropout(low + self.s.square() * (kept - low)))


class BSABlock(nn.Module):
    """alpha F(x) + (1 - alpha) A(x) with A SASRec's attention, then feed-forward."""

    def __init__(self, config: BSARecConfig):
        super().__init__()
        self.filter, self.attention = FrequencyMix(config), SelfAttention(config)
        self.feed_forward, self.alpha = FeedForward(config), config.alpha
        self.attention.dropout_rate = config.attention_dropout

    def forward(self, x: Steps, allowed: Bool[Tensor, "#B 1 #L L"], real: Real) -> Steps:
        if self.filter.whole:
            allowed = allowed & real.mT.unsqueeze(1)  # padded steps, which the filter then reads, look at no padding
        return self.feed_forward(self.alpha * self.filter(x, real) + (1 - self.alpha) * self.attention(x, allowed))


class BSAEncoder(Transformer):
    """SASRec's sequence encoder with the filter in every block."""

    block = BSABlock
    not_causal = "its filter mixes every step with later ones"

    def __init__(self, config: BSARecConfig):
        super().__init__(config)
        self.reads_padding = config.padding_in_filter  # then a row hangs on the width that it is given

    def states(self, x: Steps, batch: Batch, *context: Tensor) -> Steps:
        real = torch.arange(x.shape[1], device=x.device) < batch.lengths.unsqueeze(-1)
        return super().states(x, batch, real.unsqueeze(-1))


bsarec = partial(next_item, BSAEncoder, "id")
