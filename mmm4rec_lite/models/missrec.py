"""MISSRec: sequences over text, images and interests (Wang et al., ACM MM 2023, arXiv 2308.11175, section 3).

An interest is a cluster of item vectors. A transformer's encoder reads a history's interests as a set, and its decoder
reads the items, in both directions, and looks at the encoded interests; its last real step is the user.

Against the release: an item without an image brings no image interest (there the map's bias, which all such items
share, is clustered with the images); its image vector and score stay that bias. In-batch copies of a row's own target
are no negatives. The penalty is a mean over rows of a sum over real interests; there a sum over rows, so that the same
gamma weighs batch-size times more, of states among which are those of padding, times the share of those that are not.
Its item drop drops the wrong items (``base.drop_items``) and leaves the images in place. All three have switches. Its
one-modality form cannot pre-train (a name in it is undefined), so here there is none.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from mmm4rec_lite.models.base import Batch, Catalogue, Losses, Recommender, Users, another_view, init_bert, last_state
from mmm4rec_lite.models.config import STAGES, BaselineConfig
from mmm4rec_lite.models.fast import Dropout, in_parts, once
from mmm4rec_lite.models.layers import FeatureAdapter, IdTable, k_means
from mmm4rec_lite.models.losses import in_batch
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.utils.processes import gather
from mmm4rec_lite.utils.typing import Bool, Float, Int, Tensor

Kinds = Float[Tensor, "kinds n d"]  # of item vectors: text, image (and ids)
Augmented = Bool[Tensor, "*n"] | None


@dataclass(frozen=True)
class MISSRecConfig(BaselineConfig):
    """The release's sizes, but for its width of 300. It pre-trains with ``clusters=0.02`` and without ids."""

    n_heads: int = 4  # half of ``n_layers`` are the encoder's, half the decoder's
    item_ids: bool = False  # a learned vector on top of each item's text and image
    clusters: float = 0.5  # interests per clustered vector
    fusion: str = "shared"  # phi, which weighs text against image: one for all, or one per "item"
    temperature: float = 0.07  # tau of all losses
    sequence_weight: float = 1e-3  # lambda of the sequence-sequence loss
    penalty_weight: float = 1e-4  # gamma
    copies_compete: bool = False  # as released, and so the next two
    batch_penalty: bool = False
    texts_dropped: bool = False  # the item drop leaves images in place, and so drops texts

    def __post_init__(self):
        super().__post_init__()
        even = self.n_layers >= 2 and self.n_layers % 2 == 0
        refuse(not even, f"config: n_layers must be even, half encoder and half decoder, not {self.n_layers}")
        share = 0 < self.clusters <= 1
        refuse(not share, f"config: clusters must be above 0 and at most 1 per vector, not {self.clusters}")
        refuse(self.fusion not in ("shared", "item"), f"config: fusion must be 'shared' or 'item', not {self.fusion!r}")


class MISSRec(Recommender):
    """C interests, found anew in every epoch; each kind of an item's vectors is a candidate of its own."""

    has_image: Tensor
    centroids: Tensor
    interests: Tensor
    stages = STAGES
    reset_on_transfer = ("centroids", "interests")

    def __init__(self, config: MISSRecConfig, catalogue: Catalogue):
        super().__init__()
        needed = "missrec: no item has an image, and it needs them; take a model that reads texts alone"
        refuse(not catalogue.has_image[1:].any(), needed)
        self.config, self.catalogue = config, catalogue
        d, rows = config.d_model, len(catalogue)
        self.rows = rows
        real = torch.arange(rows, device=catalogue.has_image.device) > 0
        self.register_buffer("has_image", catalogue.has_image & real, persistent=False)
        self.ids = IdTable(rows, d) if config.item_ids else None
        self.phi = nn.Parameter(torch.zeros(rows if config.fusion == "item" else ()))
        self.item_specific = ("ids.", "phi") if config.fusion == "item" else ("ids.",)
        self.positions = nn.Embedding(config.max_len, d)
        self.norm, self.dropout = nn.LayerNorm(d, config.norm_eps), Dropout(config.dropout)
        sizes = d, config.n_heads, config.n_layers // 2, config.n_layers // 2, config.d_ff, config.dropout
        self.transformer = nn.Transformer(*sizes, "gelu", layer_norm_eps=config.norm_eps, batch_first=True)
        self.transformer.encoder.use_nested_tensor = False  # a prototype of torch's, which warns
        init_bert(self)  # but attention's input maps, as released, and the adapters: with a bias of 0, the unit vector
        # of an item without an image would be taken at 0, where its gradient is endless
        self.text = FeatureAdapter(catalogue.text, d)
        self.image = FeatureAdapter(catalogue.image * self.has_image.unsqueeze(1), d)
        count = math.ceil(config.clusters * (rows - 1 + int(self.has_image.sum())))
        self.register_buffer("centroids", torch.zeros(count + 1, d))  # row 0 is padding
        self.register_buffer("interests", torch.zeros(rows, 2, dtype=torch.long))  # of text and image; 0: none
        self.begin_epoch()

    @torch.no_grad()
    def begin_epoch(self, epoch: int = 0, stage: str = "scratch") -> None:
        """Interest discovery: the clusters of all adapted vectors, texts and images together."""
        text, image = self.text()[1:], self.image()[self.has_image]
        self.centroids[1:], near = k_means(torch.cat([text, image]), len(self.centroids) - 1)
        self.interests[1:, 0] = near[: len(text)] + 1
        self.interests[self.has_image, 1] = near[len(text) :] + 1

    def drop_images(self, lost: Bool[Tensor, " K"]) -> None:
        self.image.drop(lost)
        self.has_image[lost], self.interests[lost, 1] = False, 0

    def transfer(self, state: Mapping[str, Tensor]) -> None:
        super().transfer(state)
        self.begin_epoch()  # with the maps that came

    def embed(self, items: Int[Tensor, "*n"], augmented: Augmented = None) -> Float[Tensor, "kinds *n d"]:
        """Of text, image (and ids); ``augmented``: which items' text is the one that lost some words."""
        text, image = self.text(items), self.image(items)
        if augmented is not None:
            other = self.text.linear(self.catalogue.augmented().to(text)[items])
            text = torch.where(augmented.unsqueeze(-1), other, text)
        return torch.stack([text, image] if self.ids is None else [text, image, self.ids(items)])

    def encode(
        self, batch: Batch, augmented: Augmented = None, images: Int[Tensor, "B L"] | None = None
    ) -> tuple[Users, Float[Tensor, " B"]]:
        """Users u of length one, and the penalty R = |sum of the encoded interests|^2 / d; ``images``: other items'."""
        L, all_padding = batch.items.shape[1], self.config.batch_penalty or images is not None  # which read padding
        padding = torch.arange(L, device=batch.items.device) >= batch.lengths.unsqueeze(1)
        if images is None and (augmented is None or not augmented.any()):
            known, where = once(batch.items)  # each item through the maps once
            vectors = self.embed(known).sum(0)
        else:
            vectors = self.embed(batch.items, augmented).sum(0).flatten(0, 1)
            where = torch.arange(len(vectors), device=vectors.device).view_as(batch.items)
        interests = self.interests[batch.items].masked_fill(padding.unsqueeze(-1), 0)
        if images is not None:
            vectors = vectors + (self.image(images) - self.image(batch.items)).flatten(0, 1)
            interests[..., 1] = self.interests[images, 1]

        def read(rows, width):
            x = F.embedding(where[rows, :width], vectors)
            x = self.dropout(self.norm(x + self.positions.weight[:width]))
            own = distinct(interests[rows, :width].flatten(1), self.config.batch_penalty)
            none = own == 0
            memory = self.transformer.encoder(self.centroids[own], src_key_padding_mask=none)
            masks = dict(tgt_key_padding_mask=padding[rows, :width], memory_key_padding_mask=none)
            states = last_state(self.transformer.decoder(x, memory, **masks), batch.lengths[rows])
            real = (~none).to(memory).unsqueeze(-1)
            pooled = (memory * (real.mean(1, keepdim=True) if self.config.batch_penalty else real)).sum(1)
            return F.normalize(states, dim=-1), pooled.square().mean(1)

        return read(slice(None), L) if all_padding else in_parts(read, batch.lengths, L)

    def users(self, batch: Batch) -> Users:
        return self.encode(batch)[0]

    def candidates(self, items: Int[Tensor, " n"] | None = None) -> Kinds:
        items = torch.arange(len(self.interests), device=self.interests.device) if items is None else items
        return F.normalize(self.embed(items), dim=-1)

    def match(self, users: Users, candidates: Kinds, phi: Float[Tensor, "*#n"]) -> Float[Tensor, "B n"]:
        """s / tau: with cosines l and w = softmax(phi [l_t, l_v]), s = w . [l_t, l_v]; with ids (l_id + 2 s) / 3."""
        text, image, *ids = users @ candidates.mT
        lead = text - image
        s = image + torch.sigmoid(phi * lead) * lead  # a softmax over two is a sigmoid
        return (s if not ids else (ids[0] + 2 * s) / 3) / self.config.temperature

    def score(self, users: Users, candidates: Kinds | None = None) -> Float[Tensor, "B n"]:
        scores = self.match(users, self.candidates() if candidates is None else candidates, self.phi)
        if not self.rank_padding:
            scores[:, 0] = -torch.inf
        return scores

    def losses(self, batch: Batch, stage: str) -> Losses:
        """Pre-training: contrasts with items and views; else cross-entropy; a norm penalty (paper: orthogonality)."""
        users, penalty = self.encode(batch)
        tau, targets, copies_compete = self.config.temperature, batch.targets, self.config.copies_compete
        weight = self.config.penalty_weight * (len(targets) if self.config.batch_penalty else 1)
        if stage != "pretrain":
            return dict(cross_entropy=F.cross_entropy(self.score(users), targets), norm_penalty=weight * penalty.mean())
        others, penalty_of_others = self.encode(*self.view(batch))
        everyone, _ = gather(targets)
        phi = self.phi[everyone] if self.config.fusion == "item" else self.phi
        items = in_batch(self.match(users, self.candidates(everyone), phi), targets, copies_compete)
        views = self.config.sequence_weight * in_batch(users @ gather(others)[0].T / tau, targets, copies_compete)
        penalty = penalty + penalty_of_others
        return dict(sequence_item=items, sequence_sequence=views, norm_penalty=weight * penalty.mean())

    def view(self, batch: Batch) -> tuple[Batch, Augmented, Int[Tensor, "B L"] | None]:
        """Another one, drawn: a batch, whose texts are those that lost words, and whose images are seen."""
        released = self.config.texts_dropped
        return *another_view(batch, self.catalogue, released), batch.items if released else None

    def frozen(self, stage: str) -> tuple[str, ...]:
        return ("transformer.", "positions.") if stage == "finetune" else ()


def distinct(ids: Int[Tensor, "B S"], zero_counts: bool = False) -> Int[Tensor, "B U"]:
    """Every row's distinct ids without 0, falling, then zeros up to the longest row's number (with 0's own or not)."""
    zero = (ids == 0).any(1) & zero_counts
    ids = ids.sort(1).values
    repeated = F.pad(ids[:, 1:] == ids[:, :-1], (1, 0))
    ids = ids.masked_fill(repeated, 0).sort(1, descending=True).values
    return ids[:, : ((ids > 0).sum(1) + zero).max()]
