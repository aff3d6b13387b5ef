"""FDSA: attention over items and, apart, over their features (Zhang et al., IJCAI 2019), as in the UniSRec repository.

There an item's features are the one frozen vector of its text, where the paper pools embeddings of category and brand;
the loss is cross-entropy over all items, where the paper has one sampled negative and a binary loss. Candidates are
ids: the text is on the user's side alone. As released, initialisation overwrites the texts with noise
(``features_overwritten``), and padding is a rival in the loss (``pad_item``; RecBole leaves it out of rankings).
"""

import torch
from torch import nn
from torch.nn import functional as F

from mmm4rec_lite.models.base import Batch, Catalogue, NextItem, Users, init_bert, last_state
from mmm4rec_lite.models.config import RecBoleConfig
from mmm4rec_lite.models.fast import by_length
from mmm4rec_lite.models.layers import FeatureAdapter, IdTable, Transformer, TransformerBlock, causal, through
from mmm4rec_lite.utils.typing import Float, Tensor


class FDSA(NextItem):
    """u = Drop(LN(W [u_ids; u_texts] + b)) of two stacks of blocks; positions and the LayerNorm are the same in all."""

    encoder: Transformer

    def __init__(self, config: RecBoleConfig, catalogue: Catalogue):
        d = config.d_model
        super().__init__(config, IdTable(len(catalogue), d), Transformer(config), len(catalogue))
        self.texts = FeatureAdapter(catalogue.text, d, config.features_overwritten)
        self.text_blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.n_layers))
        self.join = nn.Linear(2 * d, d)
        self.rank_padding = config.pad_item
        init_bert(self)

    def users(self, batch: Batch) -> Users:
        both = lambda items: torch.cat([self.items(items), F.relu(self.texts(items))], -1)
        return self.encoder.dropout(self.encoder.norm(self.join(by_length(both, self.encode, batch))))

    def encode(self, both: Float[Tensor, "B L dd"], batch: Batch) -> Float[Tensor, "B dd"]:
        """The last states of both stacks, of ids and of texts."""
        streams = zip((self.encoder.blocks, self.text_blocks), both.chunk(2, -1))
        states = [through(blocks, self.encoder.start(x), causal(x)) for blocks, x in streams]
        return torch.cat([last_state(x, batch.lengths) for x in states], -1)
