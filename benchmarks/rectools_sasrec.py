"""Seconds of an epoch of RecTools' SASRec, for ``speed.py --rectools PYTHON``, an interpreter with ``rectools[torch]``.

    PYTHON benchmarks/rectools_sasrec.py interactions.csv

Width 64, window 20, two blocks of one head, 128 sequences a batch, softmax over all items: every position of a user's
latest interactions is supervised, so an epoch is compared with ours at ``supervise="all_positions"``. Tried on a table
of some hundred rows alone: no figure of it is stored yet.
"""

import json
import logging
import sys
import time
from importlib import import_module

import pandas as pd
import torch

# by name: another interpreter has them, this project does not depend on them
Columns = import_module("rectools").Columns
Dataset = import_module("rectools.dataset").Dataset
SASRecModel = import_module("rectools.models").SASRecModel

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
frame = pd.read_csv(sys.argv[1]).rename(columns={"user": Columns.User, "item": Columns.Item})
frame = frame.sort_values("timestamp", kind="stable")
frame[Columns.Datetime], frame[Columns.Weight] = pd.to_datetime(frame["timestamp"], unit="s"), 1.0
dataset = Dataset.construct(frame[[Columns.User, Columns.Item, Columns.Datetime, Columns.Weight]])
seconds = []
for epochs in (1, 2):
    model = SASRecModel(
        n_blocks=2,
        n_heads=1,
        n_factors=64,
        session_max_len=20,
        batch_size=128,
        epochs=epochs,
        recommend_torch_device="cpu",
    )
    began = time.process_time()
    model.fit(dataset)
    seconds.append(time.process_time() - began)
print(json.dumps({"epoch": seconds[1] - seconds[0], "threads": torch.get_num_threads(), "torch": torch.__version__}))
