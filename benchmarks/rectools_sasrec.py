"""RecTools' SASRec on the leave-one-out of this project: accuracy and seconds of an epoch, as one JSON line.

    PYTHON benchmarks/rectools_sasrec.py interactions.csv [SEED [EPOCHS]]     (an interpreter with ``rectools[torch]``)

The table has columns user, item, timestamp, each user's rows in order. Width 64, window 20, two blocks of one head, 128
sequences a batch, softmax over all items: every position of a user's latest interactions is supervised, so an epoch is
compared with ours at ``supervise="all_positions"``. Training ends after ten epochs without a better NDCG@10 on the
validation targets, as ours at scale "converged", or after EPOCHS: ``speed.py --rectools PYTHON`` takes the seconds of
three. On Scientific it was seen to run for 13 epochs, not to its end: no figure of it is stored yet.
"""

import json
import logging
import math
import statistics
import sys
import time
from importlib import import_module

import pandas as pd
import torch

PATIENCE, K = 10, 10
# by name: another interpreter has them, this project does not depend on them
Columns = import_module("rectools").Columns
Dataset = import_module("rectools.dataset").Dataset
SASRecModel = import_module("rectools.models").SASRecModel
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


def dataset(rows):
    """The order of the rows stands for their times: many are at the same one."""
    rows = rows.rename(columns={"user": Columns.User, "item": Columns.Item}).assign(**{Columns.Weight: 1.0})
    times = {Columns.Datetime: pd.to_datetime(rows["place"], unit="D")}
    return Dataset.construct(rows.assign(**times)[[Columns.User, Columns.Item, Columns.Datetime, Columns.Weight]])


def accuracy(model, history, targets, filter_seen):
    """NDCG@10 and Recall@10 of one target a user; what was never trained on is a miss."""
    known = set(history["user"])
    users = [user for user in targets["user"] if user in known]
    found = model.recommend(users, dataset(history), k=K, filter_viewed=filter_seen, on_unsupported_targets="ignore")
    both = found.merge(targets, left_on=[Columns.User, Columns.Item], right_on=["user", "item"])
    gains = 1 / (both[Columns.Rank] + 1).map(math.log2)
    return {"ndcg@10": gains.sum() / len(targets), "recall@10": len(both) / len(targets)}


def main(file, seed=0, most=200):
    import_module("pytorch_lightning").seed_everything(seed)
    rows = pd.read_csv(file, dtype={"user": str, "item": str})
    rows["place"], length = rows.groupby("user").cumcount(), rows.groupby("user")["item"].transform("size")
    rows, left = rows[length > 2], (length - rows["place"])[length > 2]
    train, valid, test = rows[left > 2], rows[left == 2], rows[left == 1]
    sizes = dict(n_blocks=2, n_heads=1, n_factors=64, session_max_len=20, batch_size=128)
    model, best, seconds, out = SASRecModel(**sizes, recommend_torch_device="cpu"), (0, 0), [], {}
    while len(seconds) < min(most, best[1] + PATIENCE):
        began = time.process_time()
        model.fit_partial(dataset(train), min_epochs=1, max_epochs=1)
        seconds.append(time.process_time() - began)
        now = accuracy(model, train, valid, False)["ndcg@10"]
        if now > best[0] or not out:
            best = now, len(seconds)
            out = {
                name: accuracy(model, rows[left > 1], test, removed)
                for name, removed in (("kept", False), ("removed", True))
            }
        print(len(seconds), round(now, 4), out["kept"], file=sys.stderr)
    about = dict(epoch=statistics.median(seconds), epochs=len(seconds), best_epoch=best[1], seed=seed, users=len(test))
    print(
        json.dumps(about | dict(valid=best[0]) | out | dict(threads=torch.get_num_threads(), torch=torch.__version__))
    )


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
