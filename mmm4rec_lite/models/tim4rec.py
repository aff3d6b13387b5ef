"""TiM4Rec: time-aware SSD over item ids (Fan et al., arXiv 2409.16182), and its text form.

The layers are MMM4Rec's TiSSD (``mmm4rec.py``), which grew out of them: MMM4Rec's text path is one such layer. That is
the model of the MMM4Rec repository, where the direct path is scaled by the step size, padded time stamps enter the
LayerNorm over the gaps, and the target's time stamp may stand in the input (``Quirks``). Here Mamba-2's direct path,
real gaps only and no target time; start values as in ``mmm4rec.initialise``, where the time branch is alive.

TiM4Rec's own code is another model: of these three it has the padded times alone; it has no Tanhshrink, one group, no
skip where there is one layer, and a Hardswish in the place of each convolution's SiLU where the heads are no multiple
of 8 (its settings have 4).
"""

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from mmm4rec_lite.models.base import Batch, NextItem, last_state
from mmm4rec_lite.models.blocks import TimeDifferences
from mmm4rec_lite.models.config import ModelConfig
from mmm4rec_lite.models.fast import Dropout
from mmm4rec_lite.models.layers import FeedForward, IdTable, next_item
from mmm4rec_lite.models.mmm4rec import TIME_IS_NOT, TiSSD, initialise
from mmm4rec_lite.utils.typing import Float, Tensor


class TiM4RecEncoder(nn.Module):
    """x = LN(Drop(items)), then TiSSD and feed-forward; no positions. The last enhancement never trains, nor there."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.times = TimeDifferences(config)
        norm = lambda: nn.LayerNorm(config.d_model, config.norm_eps)
        self.norm, self.dropout = norm(), Dropout(config.dropout)
        stack = lambda layer: nn.ModuleList(layer() for _ in range(config.n_layers))
        self.tissd, self.norms = stack(lambda: TiSSD(config)), stack(norm)
        self.feed_forward = stack(lambda: FeedForward(config, F.hardswish, inner_dropout=True))

    @property
    def not_causal(self) -> str:
        """As of ``Recommender``."""
        return TIME_IS_NOT if self.config.time else ""

    def forward(self, x: Float[Tensor, "B L d"], batch: Batch) -> Float[Tensor, "B d"]:
        return last_state(self.states(x, batch), batch.lengths)

    def states(self, x: Float[Tensor, "B L d"], batch: Batch) -> Float[Tensor, "B L d"]:
        """Every step's."""
        d = d_mask = None
        if self.config.time:  # over the whole window, however few steps the sequence has
            mask = (torch.arange(self.config.max_len, device=x.device) < batch.lengths.unsqueeze(1)).to(x.dtype)
            times = F.pad(batch.times, (0, self.config.max_len - x.shape[1]))
            d, d_mask = self.times(times, mask)
            d, d_mask = d.unsqueeze(1).expand(-1, self.config.n_heads, -1), d_mask.unsqueeze(1)
        x = self.norm(self.dropout(x))
        for tissd, norm, feed_forward in zip(self.tissd, self.norms, self.feed_forward):
            y, d = tissd(x, d, d_mask)
            x = feed_forward(norm(self.dropout(y) + x))
        return x


CONFIG = ModelConfig(d_ff=256, d_state=32, head_dim=32, n_groups=4, n_layers=2, dropout=0.4, time_dropout=0.4)
CONFIG = CONFIG.replace(norm_eps=1e-12, gaps="seconds", gate_per_step=True, gap_vector=False, item_bias=False)


def start(model: NextItem) -> NextItem:
    """MMM4Rec's start values, and BERT's for ids."""
    model.leaks_target_time = model.config.quirks.target_time
    initialise(model)
    for table in [module for module in model.items.modules() if isinstance(module, IdTable)]:
        nn.init.normal_(table.ids.weight, std=0.02)
    return model


tim4rec = partial(next_item, TiM4RecEncoder, "id", start=start)
tim4rec_t = partial(next_item, TiM4RecEncoder, "text", start=start)
