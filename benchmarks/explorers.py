"""Milliseconds from a changed control to the new picture in the widget, per explorer: JSON lines.

    OMP_NUM_THREADS=1 python benchmarks/explorers.py

Median and slowest of 20 changes, with the demo store's sample and, where a model runs, an untrained one of the
default sizes. The budget is 50 ms where no model runs and 300 ms where one does. The way to the browser is not in it.
"""

import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from mmm4rec_lite import MMM4Rec, ModelConfig
from mmm4rec_lite.data import load_dataset
from mmm4rec_lite.data.synthetic import truth_of
from mmm4rec_lite.study.shop import shown
from mmm4rec_lite.viz.explorers import filter_explorer, mask_explorer, modality_dial, what_if

USER = "chairs-u00007"  # has the most items that the window holds
SHARES = ("history_image", "candidate_image")


def main():
    store = load_dataset(Path(__file__).parent.parent / "data_samples" / "store")
    features = shown(truth_of(store), store)
    torch.manual_seed(0)
    model = MMM4Rec.from_catalogue(ModelConfig(), features.catalogue(store.items["item"]))
    cases = {
        "mask, no model": (mask_explorer(store, user=USER), {"A": (-8, -1), "gap": (1, 100), "delta": (0, 3)}, 50),
        "mask, model": (mask_explorer(store, model, USER), {"A": (-8, -1), "scale": (0.1, 10), "head": (1, 8)}, 300),
        "what if": (what_if(model, store, USER), {"gap": (1, 100), "item": (0, 19)}, 300),
        "filter": (filter_explorer(), {"period1": (3, 12), "size2": (0.1, 1)}, 50),
        "modality dial": (modality_dial(model, store, features, USER), dict.fromkeys(SHARES, (0, 100)), 300),
    }
    for name, (explorer, controls, budget) in cases.items():
        if name == "mask, no model":
            explorer.which.value = 3
        for control, (low, high) in controls.items():
            whole = control in ("head", "item")
            values = [low + i % (high - low + 1) for i in range(20)] if whole else np.linspace(low, high, 20).tolist()
            took, worked = [], []
            for value in values:
                began, busy = time.perf_counter(), time.process_time()
                getattr(explorer, control).value = value
                took.append(1000 * (time.perf_counter() - began))
                worked.append(1000 * (time.process_time() - busy))
            assert not explorer.error.value, explorer.error.value
            line = dict(explorer=name, control=control, budget_ms=budget, slowest_ms=max(took))
            line |= dict(median_ms=statistics.median(took), median_cpu_ms=statistics.median(worked))
            print(json.dumps({key: round(told, 1) if isinstance(told, float) else told for key, told in line.items()}))


if __name__ == "__main__":
    main()
