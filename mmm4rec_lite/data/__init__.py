"""Interactions in, batches out.

dataset     the plain dataset folder, total order and ties, k-core, domains, union
schema      the columns and types of its tables, checked
movielens   MovieLens-100K with genre groups as domains, fetched and checked
amazon      Amazon Reviews 2018 from its published files; `download` fetches pictures
synthetic   the demo store, a made-up shop with known truth; `assets` draws its pictures
tabular     your own tables as a dataset, with `reading` (tables of any kind, times of any format)
split       flat sequences; leave-one-out, global-time and all-prefix targets
batches     right-padded batches by tensor indexing; reproducible epochs
statistics  numbers about data and features before any model: counts, gaps, popularity, coverage, neighbours
"""

from mmm4rec_lite.data.batches import Batch, batch, epoch, sample_rows
from mmm4rec_lite.data.dataset import Dataset, augmented_text, k_core, load_dataset, order, tie_share, union
from mmm4rec_lite.data.movielens import SOURCES, TARGETS, movielens_100k
from mmm4rec_lite.data.split import Sequences, Split, global_time, leave_one_out, prefixes, sequences
from mmm4rec_lite.data.statistics import dataset_statistics
from mmm4rec_lite.data.tabular import import_tables, order_only

__all__ = ["SOURCES", "TARGETS", "Batch", "Dataset", "Sequences", "Split", "augmented_text", "batch"]
__all__ += ["dataset_statistics", "epoch", "global_time", "import_tables", "k_core", "leave_one_out", "load_dataset"]
__all__ += ["movielens_100k", "order", "order_only", "prefixes", "sample_rows", "sequences", "tie_share", "union"]
