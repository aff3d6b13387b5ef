"""UniSRec: transferable sequences over text (Hou et al., KDD 2022, arXiv 2206.05941, section 2).

Without ids ("T", inductive) or with them ("T + ID", transductive). In the release, duplicates of a row's own target
keep e^0 in the denominator of both contrastive losses (``copies_as_zero``); here they are left out. Its item drop
drops the wrong items (``drops_before``, see ``base.drop_items``). Its fine-tuning script freezes the encoder whatever
the switch says; here ``frozen`` does, as the paper describes.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from mmm4rec_lite.models.base import Batch, Catalogue, Losses, Recommender, Users, another_view, init_bert
from mmm4rec_lite.models.config import STAGES, BaselineConfig
from mmm4rec_lite.models.fast import Dropout, by_length
from mmm4rec_lite.models.layers import IdTable, Transformer
from mmm4rec_lite.models.losses import full_loss, in_batch
from mmm4rec_lite.utils.processes import gather
from mmm4rec_lite.utils.typing import Bool, Float, Int, Tensor


@dataclass(frozen=True)
class UniSRecConfig(BaselineConfig):
    """The release's sizes, but for its width of 300."""

    item_ids: bool = False  # "T + ID": a learned vector on top of each item's text
    experts: int = 8  # of the whitening
    adaptor_dropout: float = 0.2
    temperature: float = 0.07  # tau of all losses
    sequence_weight: float = 1e-3  # lambda of the sequence-sequence loss
    copies_as_zero: bool = False  # as released
    drops_before: bool = False  # as released


class MoEWhitening(nn.Module):
    """The adaptor (section 2.2): sum_k g_k W_k (x - beta_k), g a noisy softmax gate."""

    def __init__(self, width: int, config: UniSRecConfig):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, config.experts, config.d_model) * 0.02)  # W_k
        self.shift = nn.Parameter(torch.zeros(config.experts, width))  # beta_k
        self.gate, self.noise = (nn.Parameter(torch.zeros(width, config.experts)) for _ in range(2))  # G, N
        self.dropout = Dropout(config.adaptor_dropout)

    def forward(self, x: Float[Tensor, "... F"]) -> Float[Tensor, "... d"]:
        logits = x @ self.gate
        if self.training:
            logits = logits + torch.randn_like(logits) * (F.softplus(x @ self.noise) + 0.01)
        whitened = torch.tensordot(self.dropout(x), self.weight, 1)  # one draw for all; released: for each expert
        whitened = whitened - torch.einsum("kf,fkd->kd", self.shift, self.weight)
        return (logits.softmax(-1).unsqueeze(-2) @ whitened).squeeze(-2)


class UniSRec(Recommender):
    """Whitened texts, SASRec's encoder, cosine scores."""

    text: Tensor
    stages = STAGES
    item_specific = ("ids.",)

    def __init__(self, config: UniSRecConfig, catalogue: Catalogue):
        super().__init__()
        self.config, self.catalogue, self.rows = config, catalogue, len(catalogue)
        self.register_buffer("text", catalogue.text, persistent=False)
        self.adaptor = MoEWhitening(catalogue.text.shape[1], config)
        self.ids = IdTable(len(catalogue), config.d_model) if config.item_ids else None
        self.encoder = Transformer(config)
        init_bert(self)

    def embed(self, items: Int[Tensor, "*n"], augmented: Bool[Tensor, "*n"] | None = None) -> Float[Tensor, "*n d"]:
        """Item vectors; ``augmented``: whose text is the one that lost some words."""
        text = self.text[items]
        if augmented is not None:
            text = torch.where(augmented.unsqueeze(-1), self.catalogue.augmented().to(text)[items], text)
        return self.adaptor(text) + (0 if self.ids is None else self.ids(items))

    def users(self, batch: Batch, augmented: Bool[Tensor, "B L"] | None = None) -> Users:
        if augmented is not None and augmented.any():
            return F.normalize(self.encoder(self.embed(batch.items, augmented), batch), dim=-1)
        return F.normalize(by_length(self.embed, self.encoder, batch), dim=-1)

    def candidates(self, items: Int[Tensor, " n"] | None = None) -> Float[Tensor, "n d"]:
        items = torch.arange(len(self.text), device=self.text.device) if items is None else items
        return F.normalize(self.embed(items), dim=-1) / self.config.temperature

    def losses(self, batch: Batch, stage: str) -> Losses:
        """Pre-training: two contrasts in the batch, with items and with other views; else cross-entropy."""
        users = self.users(batch)
        if stage != "pretrain":
            return {"cross_entropy": full_loss(self, users, batch.targets)}
        others, muted = self.users(*self.view(batch)), 0.0 if self.config.copies_as_zero else -torch.inf
        items = in_batch(users @ gather(self.candidates(batch.targets))[0].T, batch.targets, muted=muted)
        views = in_batch(users @ gather(others)[0].T / self.config.temperature, batch.targets, muted=muted)
        return dict(sequence_item=items, sequence_sequence=self.config.sequence_weight * views)

    def view(self, batch: Batch) -> tuple[Batch, Bool[Tensor, "B L"]]:
        """Another one, drawn: a batch, and whose texts are those that lost words."""
        return another_view(batch, self.catalogue, self.config.drops_before)

    def frozen(self, stage: str) -> tuple[str, ...]:
        return ("encoder.positions.", "encoder.blocks.") if stage == "finetune" else ()
