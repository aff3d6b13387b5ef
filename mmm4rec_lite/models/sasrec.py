"""SASRec: self-attention over item ids (Kang & McAuley, ICDM 2018, arXiv 1808.09781, section III), and its text form.

As in RecBole and the MMM4Rec repository, not as in the original: every prefix of a history is a row, only its last
step is supervised, and all items are candidates (the original: every step, one sampled negative, binary loss).
The released evaluators of the MMM4Rec repository rank the padding item too; here it never competes.
"""

from mmm4rec_lite.models.base import Catalogue, NextItem, init_bert
from mmm4rec_lite.models.config import BaselineConfig
from mmm4rec_lite.models.layers import FeatureAdapter, IdTable, Transformer


def sasrec(config: BaselineConfig, catalogue: Catalogue) -> NextItem:
    """SASRec over a learned vector per item."""
    return init_bert(NextItem(config, IdTable(len(catalogue), config.d_model), Transformer(config)))


def sasrec_t(config: BaselineConfig, catalogue: Catalogue) -> NextItem:
    """SASRec_T (table 3 of arXiv 2506.02916): one linear map of an item's text features, in and out, instead of ids."""
    return init_bert(NextItem(config, FeatureAdapter(catalogue.text, config.d_model), Transformer(config)))
