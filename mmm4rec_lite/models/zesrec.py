"""ZESRec: zero-shot recommendation over frozen texts (Ding et al., 2021, arXiv 2105.08318), as UniSRec's baseline.

No code of it is public. UniSRec's authors describe theirs (issues 4 and 10 of their repository): SASRec over two linear
maps of the text with nothing between them, pre-trained on source domains, then fine-tuned. What they freeze is not
said; here nothing is. A pre-trained run ranks another catalogue as it is (``load_run`` with that task): nothing in it
has a row per item. The paper's own offsets, a learned vector per item of the source, are left out, as they have to be
for new items.
"""

from torch import nn

from mmm4rec_lite.models.base import Batch, Catalogue, Losses, NextItem, init_bert
from mmm4rec_lite.models.config import STAGES, BaselineConfig
from mmm4rec_lite.models.layers import FeatureAdapter, Transformer
from mmm4rec_lite.models.losses import in_batch
from mmm4rec_lite.utils.processes import gather
from mmm4rec_lite.utils.typing import Float, Int, Tensor


class TwoMaps(FeatureAdapter):
    """W_2 (W_1 x + b_1) + b_2 of frozen features x."""

    def __init__(self, features: Float[Tensor, "K F"], width: int):
        super().__init__(features, width)
        self.second = nn.Linear(width, width)

    def forward(self, ids: Int[Tensor, "*n"] | None = None) -> Float[Tensor, "*n d"]:
        return self.second(super().forward(ids))


class ZESRec(NextItem):
    """SASRec_T with a second linear map and a pre-training."""

    stages = STAGES

    def __init__(self, config: BaselineConfig, catalogue: Catalogue):
        super().__init__(config, TwoMaps(catalogue.text, config.d_model), Transformer(config), len(catalogue))
        init_bert(self)

    def losses(self, batch: Batch, stage: str) -> Losses:
        """Pre-training, over many items: the batch's targets compete; else all items do."""
        if stage != "pretrain":
            return super().losses(batch, stage)
        logits = self.users(batch) @ gather(self.candidates(batch.targets))[0].T
        return {"in_batch": in_batch(logits, batch.targets)}
