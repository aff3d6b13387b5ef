"""Hybrids: the sequence blocks of one system over the item encoder of another, all else alike (chapter 9)."""

from collections.abc import Callable, Sequence
from itertools import product

import pandas as pd
import torch
from torch import nn

from mmm4rec_lite.evaluation import ndcg_per_row, rank_model
from mmm4rec_lite.models.base import Catalogue, NextItem, init_bert
from mmm4rec_lite.models.bsarec import BSAEncoder
from mmm4rec_lite.models.layers import FeatureAdapter, IdTable, Transformer
from mmm4rec_lite.models.mamba4rec import MambaEncoder
from mmm4rec_lite.models.registry import get_model
from mmm4rec_lite.models.tim4rec import TiM4RecEncoder, start
from mmm4rec_lite.models.unisrec import MoEWhitening, UniSRecConfig
from mmm4rec_lite.runs import Protocol, Task, fit_gaps
from mmm4rec_lite.significance import paired
from mmm4rec_lite.training import fit
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.utils.typing import Float, Int, Tensor


class Summed(nn.ModuleDict):
    """The sum of several item encoders' vectors, as MISSRec and MMM4Rec sum them."""

    def forward(self, ids: Int[Tensor, "*n"] | None = None) -> Float[Tensor, "*n d"]:
        return sum(part(ids) for part in self.values())


class Whitened(FeatureAdapter):
    """UniSRec's experts in the place of the linear map."""

    def __init__(self, features: Float[Tensor, "K F"], width: int):
        super().__init__(features, width)
        self.linear = MoEWhitening(features.shape[1], UniSRecConfig(d_model=width))


BLOCKS: dict[str, tuple[str, type[nn.Module]]] = {  # whose sizes and start values the blocks have, and the encoder
    "attention (SASRec)": ("sasrec", Transformer),
    "attention + filter (BSARec)": ("bsarec", BSAEncoder),
    "Mamba (Mamba4Rec)": ("mamba4rec", MambaEncoder),
    "SSD with gaps (TiM4Rec)": ("tim4rec", TiM4RecEncoder),
}
ITEMS: dict[str, Callable[[Catalogue, int], nn.Module]] = {
    "ids (SASRec)": lambda known, d: IdTable(len(known), d),
    "texts, a map (SASRec_T)": lambda known, d: FeatureAdapter(known.text, d),
    "texts, experts (UniSRec)": lambda known, d: Whitened(known.text, d),
    "ids + texts": lambda known, d: Summed(dict(ids=IdTable(len(known), d), texts=FeatureAdapter(known.text, d))),
}
FORM = ["sequence", "items"]


def hybrid(sequence: str, items: str, catalogue: Catalogue, protocol: Protocol) -> NextItem:
    """A new model of a block of ``BLOCKS`` and an encoder of ``ITEMS``; users and candidates share the encoder.

    Start values are those of the blocks' own system, so a pair that is a system (attention over ids) is that system.
    """
    for name, known in ((sequence, BLOCKS), (items, ITEMS)):
        refuse(name not in known, f"hybrid: {name!r} is not known; one of {', '.join(known)}")
    system, encoder = BLOCKS[sequence]
    config, _ = protocol.settings(get_model(system), "scratch")
    model = NextItem(config, ITEMS[items](catalogue, config.d_model), encoder(config), len(catalogue))
    return start(model) if system == "tim4rec" else init_bert(model)


def measure(
    task: Task, protocol: Protocol, forms: Sequence[tuple[str, str]] | None = None, seeds: int = 3, **training: object
) -> pd.DataFrame:
    """Test NDCG@10 of hybrids beside the first of them (all, beside SASRec), on the same users and seeds.

    Columns: sequence, items, then those of ``significance.paired``. ``training``: fields of ``TrainConfig``.
    """
    rows, scores = task.rows, {}
    forms = list(product(BLOCKS, ITEMS)) if forms is None else forms
    for form in forms:
        _, config = protocol.settings(get_model(BLOCKS[form[0]][0]), "scratch", **training)
        found = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            model = hybrid(*form, task.catalogue, protocol)
            fit_gaps(model, rows)
            fit(model, rows.sequences, rows.train, config.replace(seed=seed), rows.valid, progress=False)
            found.append(ndcg_per_row(rank_model(model, rows.sequences, rows.test)))
        scores[" / ".join(form)] = torch.stack(found)
    table = paired(scores, " / ".join(forms[0]))
    return pd.DataFrame(forms, columns=FORM).join(table.drop(columns="form"))
