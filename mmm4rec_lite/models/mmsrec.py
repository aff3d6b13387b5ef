"""MMSRec: self-supervised multi-modal sequential recommendation (Song et al., arXiv 2304.13277).

An item is two tokens, one of its picture and one of its text, and has no id. One bidirectional encoder makes both
towers: the user's, from a history with a mask behind it, and the item's, from that item alone. Training fills in
masked items (cloze). Letters: N sequences, L their slots, d width, K rows of a catalogue, F feature width.

The released code pads at the left, up to the longest history of the batch, so that a history's positions depend on
whom it is batched with; its random replacements never draw the last item; it holds a "prompt" vector of d numbers that
no item ever takes. Here histories stand at the left, positions are fixed, every item can be drawn, and no prompt is.
Its authors pre-trained on pairs of captions and videos, one per sequence (WebVid). Here the pairs are the texts and
pictures of the items that the source domains' rows ask for.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from mmm4rec_lite.models import fast
from mmm4rec_lite.models.base import Batch, Catalogue, Losses, Recommender, Users, init_bert, last_state
from mmm4rec_lite.models.config import STAGES, BaselineConfig
from mmm4rec_lite.models.layers import FeatureAdapter, TransformerBlock
from mmm4rec_lite.models.losses import full_loss
from mmm4rec_lite.utils.processes import gather
from mmm4rec_lite.utils.typing import Bool, Float, Int, Tensor

Slots = Int[Tensor, "N L"]
Masked = Bool[Tensor, "N L"]
# whether a view shows an item's image, its text: the order of the two tokens, as released
VIEWS = {"image": (True, False), "text": (False, True), "both": (True, True)}


@dataclass(frozen=True)
class MMSRecConfig(BaselineConfig):
    """The fine-tuning settings of the released code, but width 64 instead of 512."""

    d_ff: int = 128
    n_heads: int = 8
    max_len: int = 20  # slots: 19 interactions and the mask behind them
    norm_eps: float = 1e-5
    token_dropout: float = 0.2  # on the encoder's input; ``dropout`` is the encoder's own
    temperature: float = 0.05
    mask_share: float = 0.2  # of a history's items that training asks for


class MMSRec(Recommender):
    """Tokens of an item's text and picture (if any), an encoder, and the larger of their outputs in each coordinate."""

    present: Tensor
    stages = STAGES
    reset_on_transfer = ("positions.",)

    def __init__(self, config: MMSRecConfig, catalogue: Catalogue):
        super().__init__()
        self.config, d, eps = config, config.d_model, config.norm_eps
        self.rows = len(catalogue)
        self.features = nn.ModuleList(FeatureAdapter(f, d) for f in (catalogue.image, catalogue.text))  # W_v, W_t
        self.feature_norms = nn.ModuleList(nn.LayerNorm(d, eps) for _ in range(2))
        real = torch.arange(len(catalogue), device=catalogue.has_image.device) > 0
        self.register_buffer("present", torch.stack([catalogue.has_image & real, real], 1), persistent=False)
        self.mask, self.positions, self.types = nn.Embedding(1, d), nn.Embedding(config.max_len, d), nn.Embedding(2, d)
        self.norm, self.dropout = nn.LayerNorm(d, eps), fast.Dropout(config.token_dropout)
        self.blocks = nn.ModuleList(TransformerBlock(config, inner_dropout=True) for _ in range(config.n_layers))
        self.last_norm = nn.LayerNorm(d, eps)
        self.heads = nn.ModuleList(nn.Sequential(nn.Linear(d, d), nn.LayerNorm(d, eps)) for _ in range(2))
        init_bert(self)
        for name, p in self.blocks.named_parameters():
            if name.endswith(("query.weight", "key.weight", "value.weight")):  # Xavier over all three, as released
                nn.init.uniform_(p, -((1.5 / d) ** 0.5), (1.5 / d) ** 0.5)

    @property
    def window(self) -> int:
        return self.config.max_len - 1

    def encode(self, ids: Slots, masked: Masked | None = None, view: str = "both") -> Float[Tensor, "N L d"]:
        """States of items (0: nothing there); ``masked``: slots that hold the mask, which stands for both modalities.

        Nobody looks at padding, pictures that an item lacks, and what ``view`` leaves out; one thing has to be left.
        """
        known, place = fast.once(ids)
        tokens = [norm(features(known)) for features, norm in zip(self.features, self.feature_norms)]
        x, present = torch.stack(tokens, 1)[place], self.present[ids]  # LN(W_v IMG) and LN(W_t TXT)
        if masked is not None:
            x = torch.where(masked[..., None, None], self.mask.weight, x)
            present = present | masked.unsqueeze(-1)
        present = present & torch.tensor(VIEWS[view], device=ids.device)
        x = x + self.positions.weight[: ids.shape[1], None] + self.types.weight
        x = self.dropout(self.norm(x)).flatten(1, 2)
        allowed = present.flatten(1)[:, None, None]
        for block in self.blocks:
            x = block(x, allowed)
        x = self.last_norm(x).unflatten(1, (-1, 2))
        outputs = torch.stack([head(x[:, :, m]) for m, head in enumerate(self.heads)], 2)
        return outputs.masked_fill(~present.unsqueeze(-1), -torch.inf).amax(2)

    def users(self, batch: Batch) -> Users:
        """The states of the masks behind the histories, of length 1."""

        def users(rows, width):
            part = batch.take(rows, width)
            return last_state(self.encode(*history(part)), part.lengths + 1)

        return F.normalize(fast.in_parts(users, batch.lengths, batch.items.shape[1]), dim=-1)

    def candidates(self, items: Int[Tensor, " n"] | None = None, view: str = "both") -> Float[Tensor, "N d"]:
        """The states of items (no padding) in sequences of their own, at unit length; row 0 of all is zero."""
        ids = torch.arange(1, len(self.present), device=self.present.device) if items is None else items
        states = F.normalize(self.encode(ids.unsqueeze(1), view=view)[:, 0], dim=-1)
        return F.pad(states, (0, 0, 1, 0)) if items is None else states

    def drop_images(self, lost: Bool[Tensor, " K"]) -> None:
        self.present[lost, 0] = False

    def losses(self, batch: Batch, stage: str) -> Losses:
        if stage != "pretrain":
            return {"cloze": self.cloze(batch)}
        return self.contrastive(gather(batch.targets)[0].unique())  # several processes all compute the whole of it

    def cloze(self, batch: Batch) -> Float[Tensor, ""]:
        """Cross-entropy of cosines over all items, at the mask behind each history and at some items inside it.

        Of the history's items that are asked for 80 % are masked, 10 % become a random item and 10 % stay; what stands
        behind the history is always masked. One mean over all that is asked for.
        """
        ids, last = history(batch)
        asked = (ids > 0) & (torch.rand(ids.shape, device=ids.device) < self.config.mask_share)
        how = torch.rand(ids.shape, device=ids.device)
        shown = torch.where(asked & (how >= 0.8) & (how < 0.9), torch.randint_like(ids, 1, len(self.present)), ids)
        answers = torch.where(last, batch.targets.unsqueeze(1), ids)
        masked, wanted = last | (asked & (how < 0.8)), asked | last
        found = []
        for part in fast.parts(batch.lengths + 1, ids.shape[1]):
            seen, hidden, where, answer = (slots[part[0], : part[1]] for slots in (shown, masked, wanted, answers))
            found.append((self.encode(seen, hidden)[where], answer[where]))
        states, asked_for = map(torch.cat, zip(*found))
        return full_loss(self, F.normalize(states, dim=-1) / self.config.temperature, asked_for)

    def contrastive(self, items: Int[Tensor, " n"]) -> Losses:
        """Four symmetric InfoNCE terms over different items, each a quarter of the loss.

        A view of an item is its picture, its text or both; a view meets itself in a second pass of drop-out. Items
        without a picture take no part in the terms that need one; their "both" is the text.
        """
        pictured = self.present[items, 0]
        views = dict(image=items[pictured], text=items, both=items)
        first, again = ({view: self.candidates(ids, view) for view, ids in views.items()} for _ in range(2))
        with_itself = {f"{view}_and_{view}": (first[view], again[view]) for view in ("text", "both")}
        pairs = dict(image_and_image=(first["image"], again["image"]))
        pairs |= dict(text_and_image=(first["image"], first["text"][pictured])) | with_itself
        return {name: symmetric_nce(*pair, self.config.temperature) / 4 for name, pair in pairs.items() if len(pair[0])}

    def frozen(self, stage: str) -> tuple[str, ...]:
        return ("mask.",) if stage == "pretrain" else ()  # which masks nothing


def history(batch: Batch) -> tuple[Slots, Masked]:
    """The items in longest + 1 slots, 0 where none stands, and whether a slot is the one behind the history."""
    L = int(batch.lengths.max())
    slot, lengths = torch.arange(L + 1, device=batch.items.device), batch.lengths.unsqueeze(1)
    return F.pad(batch.items[:, :L], (0, 1)) * (slot < lengths), slot == lengths


def symmetric_nce(one: Float[Tensor, "n d"], other: Float[Tensor, "n d"], temperature: float) -> Float[Tensor, ""]:
    """InfoNCE of unit vectors from rows to columns and back, summed as in the released code; row i fits row i."""
    logits, own = one @ other.T / temperature, torch.arange(len(one), device=one.device)
    return F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)
