"""Interactions in, batches out.

A source (`movielens`; `amazon`, whose pictures `download` fetches; the demo store of `synthetic` and `assets`; your own
tables by `tabular`, with the help of `reading`, `separated`, `columns`, `ids`, `times`, `markup` and `item_pictures`)
becomes a `dataset`, checked by `schema`; `pictures` opens every picture; `split` makes sequences with targets of it,
which `mapped` keeps on disk, and `batches` cuts these to batches, right-padded. `statistics` has numbers about data
before any model.
"""

from mmm4rec_lite.data.batches import Batch, batch, epoch, sample_rows
from mmm4rec_lite.data.dataset import Dataset, augmented_text, k_core, load_dataset, order, tie_share, union
from mmm4rec_lite.data.mapped import open_sequences
from mmm4rec_lite.data.movielens import SOURCES, TARGETS, movielens_100k
from mmm4rec_lite.data.split import Sequences, Split, global_time, leave_one_out, prefixes, sequences
from mmm4rec_lite.data.statistics import dataset_statistics
from mmm4rec_lite.data.tabular import import_tables, order_only

__all__ = ["SOURCES", "TARGETS", "Batch", "Dataset", "Sequences", "Split", "augmented_text", "batch"]
__all__ += ["dataset_statistics", "epoch", "global_time", "import_tables", "k_core", "leave_one_out", "load_dataset"]
__all__ += ["movielens_100k", "open_sequences", "order", "order_only", "prefixes", "sample_rows", "sequences"]
__all__ += ["tie_share", "union"]
