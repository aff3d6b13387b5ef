"""S3-Rec: four self-supervised tasks, then SASRec (Zhou et al., CIKM 2020, arXiv 2008.07873, section 4), after UniSRec.

It pre-trains on the training part of its own domain and keeps all weights, ids too. As in the UniSRec repository an
item's one attribute is its own text, W TXT through a ReLU, where the paper has categories and brands; the text is read
in pre-training alone. The nested sigmoids of two tasks are the paper's.

As released initialisation overwrites the texts with noise (``features_overwritten``), and padding is an attribute and,
in fine-tuning, a rival (``pad_item``). Histories are padded on the left in pre-training and on the right later, so that
positions do not carry over, and their attributes on the right throughout, so that rows shorter than the window are
taught those of other steps (``padded_left``). Random rivals can be the mask there; here they cannot. Terms are sums
over steps as there, but means over rows.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mmm4rec_lite.models.base import Batch, Catalogue, Losses, NextItem, init_bert, last_state
from mmm4rec_lite.models.config import STAGES, RecBoleConfig
from mmm4rec_lite.models.layers import FeatureAdapter, IdTable, Transformer, through
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.utils.typing import Float, Int, Tensor

Slots = Int[Tensor, "B L"]
TASKS = ("associated_attribute", "masked_item", "masked_attribute", "segment")
STEPS = 1024  # whose scores of all attributes are kept at a time


@dataclass(frozen=True)
class S3RecConfig(RecBoleConfig):
    """UniSRec's sizes and weights, but width 64 instead of 300. (The authors' first two weights are 0.2 and 1.)"""

    mask_share: float = 0.2  # of a history's items that two tasks ask for
    associated_attribute: float = 1.0  # weight of AAP: the attribute of each item that is shown
    masked_item: float = 0.2  # of MIP: each masked item
    masked_attribute: float = 1.0  # of MAP: the attribute of each masked item
    segment: float = 0.5  # of SP: what stood in a masked span
    padded_left: bool = False  # pre-training's padding, but not that of its attributes

    def __post_init__(self):
        super().__post_init__()
        refuse(not 0 <= self.mask_share < 1, f"config: mask_share must be in [0, 1), not {self.mask_share}")


class Exercise(NamedTuple):
    """What pre-training shows and asks for; 0 where nothing stands."""

    shown: Slots  # histories, some items masked
    items: Slots  # the histories
    rivals: Slots  # for each masked item another one
    context: Slots  # histories with a span masked
    segment: Slots  # that span, masked all around
    other: Slots  # another span of the batch in its place


class S3Rec(NextItem):
    """SASRec whose table has a last row for the mask, and a linear map for each task."""

    encoder: Transformer
    stages = STAGES

    def __init__(self, config: S3RecConfig, catalogue: Catalogue):
        d, self.mask = config.d_model, len(catalogue)
        super().__init__(config, IdTable(self.mask + 1, d), Transformer(config), self.mask)
        self.texts = FeatureAdapter(catalogue.text, d, config.features_overwritten)
        self.heads = nn.ModuleDict({task: nn.Linear(d, d) for task in TASKS})
        self.rank_padding = config.pad_item
        init_bert(self)

    def candidates(self, items: Int[Tensor, " n"] | None = None) -> Float[Tensor, "n d"]:
        return self.items()[: self.mask] if items is None else self.items(items)

    def losses(self, batch: Batch, stage: str) -> Losses:
        """Pre-training: the four tasks on the histories; else cross-entropy."""
        if stage != "pretrain":
            return super().losses(batch, stage)
        given = self.exercise(batch.items)
        if self.config.padded_left:
            steps = torch.arange(batch.items.shape[1], device=batch.items.device)
            given = Exercise(*(slots.gather(1, (steps + batch.lengths.unsqueeze(1)) % len(steps)) for slots in given))
        terms = self.tasks(given, batch.items)
        return {task: getattr(self.config, task) * term / len(batch.items) for task, term in terms.items()}

    def exercise(self, items: Slots) -> Exercise:
        """One drawn for histories that are padded on the right."""
        real, steps = items > 0, torch.arange(items.shape[1], device=items.device)
        draw = lambda count: (torch.rand(len(items), 1, device=items.device) * count).long()  # 0 ... count - 1
        asked, rivals = real & (torch.rand(items.shape, device=items.device) < self.config.mask_share), items
        for _ in range(9):  # again where a row holds what was drawn for it
            held = (rivals.unsqueeze(2) == items.unsqueeze(1)).any(2)
            rivals = torch.where(held, torch.randint_like(items, 1, self.mask), rivals)
        n, everything = real.sum(1, keepdim=True), items[real]
        length = draw(n // 2) + (n > 1)  # 1 ... n // 2; a single item is no span
        start, elsewhere = draw(n - length + 1), draw(len(everything) - length + 1)
        span = (steps >= start) & (steps < start + length)
        other = everything[(elsewhere + steps - start).clamp(0, len(everything) - 1)]
        around = real & ~span & (length > 0)
        parts = [part.masked_fill(around, self.mask) for part in (items, torch.where(span, other, items))]
        shown, context = (items.masked_fill(where, self.mask) for where in (asked, span))
        return Exercise(shown, items, torch.where(asked, rivals, items), context, *parts)

    def tasks(self, given: Exercise, attributes: Slots) -> Losses:
        """The terms as sums over steps; ``attributes``: whose text each step's is. Padding may stand on either side."""
        real, masked, table = given.items > 0, given.shown == self.mask, F.relu(self.texts())
        sequences = torch.cat([given.shown, given.context, given.segment, given.other])
        x, allowed = self.encoder.start(self.items(sequences)), (sequences > 0)[:, None, None]
        x, *parts = through(self.encoder.blocks, x, allowed).chunk(4)
        ends = (real * torch.arange(1, real.shape[1] + 1, device=real.device)).amax(1)
        context, segment, other = (last_state(part, ends) for part in parts)
        known = (self.items(ids[masked]) for ids in (given.items, given.rivals))

        def attribute(task, where):
            part = lambda h, own: checkpoint(self.binary, h, table, own, use_reentrant=False, preserve_rng_state=False)
            rows = zip(self.heads[task](x[where]).split(STEPS), attributes[where].split(STEPS))
            return sum((part(h, own) for h, own in rows), x.new_zeros(()))

        def pair(task, h, own, rival):
            scores = [(self.heads[task](h) * one).sum(-1).sigmoid() for one in (own, rival)]
            return -F.logsigmoid(scores[0] - scores[1]).sum()

        return dict(
            associated_attribute=attribute("associated_attribute", real & ~masked),
            masked_item=pair("masked_item", x[masked], *known),
            masked_attribute=attribute("masked_attribute", masked),
            segment=pair("segment", context, segment, other),
        )

    def binary(self, h: Float[Tensor, "n d"], table: Float[Tensor, "K d"], own: Int[Tensor, " n"]) -> Float[Tensor, ""]:
        """Sum of the binary cross-entropies of every attribute at every step, which has its own one alone."""
        first, scores = int(not self.rank_padding), (h @ table.T).to(self.items().dtype)  # not autocast's
        has = scores.gather(1, own.unsqueeze(1)).squeeze(1)
        return F.softplus(scores[:, first:]).sum() - has[own >= first].sum()

    def frozen(self, stage: str) -> tuple[str, ...]:
        return () if stage == "pretrain" else ("texts.", "heads.")  # which have no part in it
