"""SASRec: self-attention over item ids (Kang & McAuley, ICDM 2018, arXiv 1808.09781, section III), and its text form.

As in RecBole and the MMM4Rec repository, not as in the original: every prefix of a history is a row, only its last
step is supervised, and all items are candidates (the original: every step, one sampled negative, binary loss).
The released evaluators of the MMM4Rec repository rank the padding item too; here it never competes.
"""

from functools import partial

from mmm4rec_lite.models.layers import Transformer, next_item

sasrec = partial(next_item, Transformer, "id")
sasrec_t = partial(next_item, Transformer, "text")
