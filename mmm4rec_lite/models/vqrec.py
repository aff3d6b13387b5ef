"""VQ-Rec: items as codes of their texts (Hou et al., WWW 2023, arXiv 2210.12316, section 3).

Product quantisation makes a code of M digits, each of C values, of every text; an item's vector is the mean of its
digits' rows in one table. Codes belong to a catalogue; the table and the encoder are transferred. Fine-tuning begins
with epochs of alignment: a permutation of each digit's rows is learned and nothing else, then written into the table.
After that the table trains, over a frozen encoder.

As released (``published_alignment``), the permutation has a gradient of exactly 0, so that these epochs train nothing;
the table is permuted by one random draw; rows of padding take part; and several values can take one row. Early stopping
can end these epochs, and what is saved is not permuted. Here gradients go straight through the arg-max, as the paper
means it, no row is taken twice, and no noise is in what is written. Other rows' copies of the own target keep e^0 in
the release's denominators (``copies_as_zero``). It learns codes, by FAISS, from texts of training rows, this from all.
"""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn import functional as F

from mmm4rec_lite.models.base import Batch, Catalogue, Losses, Recommender, Users, init_bert
from mmm4rec_lite.models.config import STAGES, BaselineConfig
from mmm4rec_lite.models.fast import by_length
from mmm4rec_lite.models.layers import Transformer, product_codes
from mmm4rec_lite.models.losses import full_loss, in_batch
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.utils.processes import gather
from mmm4rec_lite.utils.typing import Float, Int, Tensor

Table = Float[Tensor, "rows d"]
Square = Float[Tensor, "M n n"]
EPS = 1e-6  # inside logarithms, as released
_MADE: WeakKeyDictionary[Catalogue, dict[tuple[int, int], Tensor]] = WeakKeyDictionary()  # of ``codes_of``


@dataclass(frozen=True)
class VQRecConfig(BaselineConfig):
    """The release's sizes, but width 64 instead of 300."""

    digits: int = 32  # M
    values: int = 256  # C, of a digit
    temperature: float = 0.07  # tau of all losses
    fake_share: float = 0.75  # of a code's digits that its semi-synthetic negative has drawn anew
    alignment_epochs: int = 5  # on top of those of fine-tuning
    sinkhorn_steps: int = 3
    sinkhorn_temperature: float = 0.7
    published_alignment: bool = False  # as released (the docstring of this file has more)
    copies_as_zero: bool = False  # as released

    def __post_init__(self):
        super().__post_init__()
        fits = self.digits > 0 and self.values > 0 and self.temperature > 0 and 0 <= self.fake_share <= 1
        refuse(not fits, "config: digits, values and temperature must be above 0, fake_share in [0, 1]")


class VQRec(Recommender):
    """Row 0 of each digit is for padding; all of an item's digits are row 0 where the item is padding."""

    codes: Tensor
    stages = STAGES
    item_specific = ("codes",)
    reset_on_transfer = ("permutation",)

    def __init__(self, config: VQRecConfig, catalogue: Catalogue):
        super().__init__()
        self.config, self.aligning, self.rows = config, False, len(catalogue)
        M, rows = config.digits, config.values + 1
        self.distinct = max(1, min(config.values, (len(catalogue) - 1) // 4))  # so that few items share values, too
        codes = codes_of(catalogue, M, self.distinct)
        self.register_buffer("codes", F.pad(codes + 1 + self.first_rows(codes), (0, 0, 1, 0)))  # rows of the table
        self.table = nn.Embedding(M * rows, config.d_model)
        self.permutation = nn.Parameter(torch.randn(M, rows, rows))  # logits
        self.encoder = Transformer(config)
        init_bert(self)

    def first_rows(self, like: Tensor) -> Int[Tensor, " M"]:
        """Where each digit's rows begin, on the device of ``like``."""
        return torch.arange(self.config.digits, device=like.device) * (self.config.values + 1)

    def embed(self, codes: Int[Tensor, "n M"], table: Table | None = None) -> Float[Tensor, "n d"]:
        """Means of codes' rows, in ``table`` or the current one."""
        return F.embedding_bag(codes, self.current() if table is None else table, mode="mean")

    def users(self, batch: Batch, table: Table | None = None) -> Users:
        embed = lambda items: self.embed(self.codes[items], table)
        return F.normalize(by_length(embed, self.encoder, batch), dim=-1)

    def candidates(self, items: Int[Tensor, " n"] | None = None, table: Table | None = None) -> Float[Tensor, "n d"]:
        codes = self.codes if items is None else self.codes[items]
        return F.normalize(self.embed(codes, table), dim=-1) / self.config.temperature

    def losses(self, batch: Batch, stage: str) -> Losses:
        """Pre-training: contrasts with the batch's targets and a fake code for each; else cross-entropy."""
        table = self.current()  # one draw for users and candidates
        users = self.users(batch, table)
        if stage != "pretrain":
            return {"cross_entropy": full_loss(self, users, batch.targets, self.candidates(table=table))}
        return {"sequence_item": self.contrast(users, batch.targets, self.fake_codes(batch.targets))}

    def contrast(self, users: Users, targets: Int[Tensor, " B"], fakes: Int[Tensor, "B M"]) -> Float[Tensor, ""]:
        """InfoNCE in the batch, with each row's own fake code as one more negative."""
        fake = (users * F.normalize(self.embed(fakes), dim=-1)).sum(1, keepdim=True) / self.config.temperature
        logits = torch.cat([users @ gather(self.candidates(targets))[0].T, fake], dim=1)
        return in_batch(logits, targets, muted=0.0 if self.config.copies_as_zero else -torch.inf)

    def fake_codes(self, items: Int[Tensor, " B"]) -> Int[Tensor, "B M"]:
        """The items' codes, each digit replaced by a random value with probability ``fake_share``."""
        own = self.codes[items]
        drawn = torch.randint_like(own, 1, self.distinct + 1) + self.first_rows(own)
        return torch.where(torch.rand(own.shape, device=own.device) < self.config.fake_share, drawn, own)

    def frozen(self, stage: str) -> tuple[str, ...]:
        return ("encoder.positions.", "encoder.blocks.") if stage == "finetune" else ("permutation",)

    def preparatory_epochs(self, stage: str) -> int:
        return self.config.alignment_epochs if stage == "finetune" else 0

    def begin_epoch(self, epoch: int = 0, stage: str = "scratch") -> None:
        first = self.preparatory_epochs(stage)
        if epoch == first > 0:
            self.table.weight.copy_(self.aligned(self.drawn() if self.config.published_alignment else None))
        self.aligning = epoch < first
        self.permutation.requires_grad_(self.aligning)
        for part in (self.table, self.encoder.norm):
            part.requires_grad_(not self.aligning)

    def current(self) -> Table:
        """The table; in epochs of alignment as it is permuted now, in training by a new draw."""
        if not self.aligning:
            return self.table.weight
        return self.aligned(self.drawn() if self.training else None)

    def logits(self) -> Square:
        """Of the permutation: row i takes row j. Rows of padding stay where they are, but as released."""
        return self.permutation if self.config.published_alignment else self.permutation[:, 1:, 1:]

    def drawn(self) -> Square:
        """Random numbers of one draw."""
        return torch.rand_like(self.logits())

    def soft(self, uniform: Square | None = None) -> Square:
        """Gumbel-Sinkhorn: columns sum to 1, rows nearly; without Gumbel noise where ``uniform`` is None."""
        x = (self.logits().exp() + EPS).log()
        if uniform is not None:
            x = x - (EPS - (uniform + EPS).log()).log()
        x = x / self.config.sinkhorn_temperature
        for _ in range(self.config.sinkhorn_steps):
            x = x.log_softmax(2).log_softmax(1)
        return x.exp()

    def chosen(self, soft: Square) -> Int[Tensor, "M n"]:
        """Which row each row takes."""
        return soft.argmax(2) if self.config.published_alignment else one_to_one(soft)

    def aligned(self, uniform: Square | None = None) -> Table:
        """The permuted table. Its gradient is that of the soft permutation; as released, 0."""
        soft = self.soft(uniform)
        reach = 0.0 if self.config.published_alignment else 1.0
        hard = F.one_hot(self.chosen(soft), soft.shape[-1]).to(soft) + reach * (soft - soft.detach())
        table = self.table.weight.detach().unflatten(0, (self.config.digits, -1))
        moved = hard @ table[:, -soft.shape[1] :]
        return torch.cat([table[:, : -soft.shape[1]], moved], dim=1).flatten(0, 1)


def one_to_one(scores: Square) -> Int[Tensor, "M n"]:
    """A column for every row, none twice: time and again the pairs that are each other's best of what is left."""
    left, chosen = scores.detach(), torch.full(scores.shape[:2], -1, device=scores.device)
    rows = torch.arange(scores.shape[1], device=scores.device)
    while (chosen < 0).any():
        best = left.argmax(2)
        agreed = (left.argmax(1).gather(1, best) == rows) & (chosen < 0)
        chosen = torch.where(agreed, best, chosen)
        pairs = F.one_hot(best, len(rows)).bool() & agreed.unsqueeze(2)
        left = left.masked_fill(pairs.any(1, keepdim=True) | pairs.any(2, keepdim=True), -torch.inf)
    return chosen


def codes_of(catalogue: Catalogue, digits: int, values: int) -> Int[Tensor, "I digits"]:
    """The codes of a catalogue's texts: the same whatever the seed, and made once for all models over it."""
    made = _MADE.setdefault(catalogue, {})
    if (digits, values) not in made:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made[digits, values] = product_codes(catalogue.text[1:], digits, values)
    return made[digits, values]
