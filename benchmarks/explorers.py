"""Milliseconds from a changed control to the new picture, per explorer: JSON lines.

    OMP_NUM_THREADS=1 python benchmarks/explorers.py

Median and slowest of 20 changes, with the demo store's sample and, where a model runs, an untrained one of the
default sizes. In Python the budget is 50 ms where no model runs and 300 ms where one does; the way to the browser is
not in it. In Chromium (where it is installed) it is 30 ms, layout included: the live page with 20 items of history and
400 candidates, block by block, and the mask explorer over the same model.
"""

import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mmm4rec_lite import MMM4Rec, ModelConfig
from mmm4rec_lite.data import load_dataset
from mmm4rec_lite.data.synthetic import StoreConfig, make_store, truth_of
from mmm4rec_lite.models.base import Catalogue
from mmm4rec_lite.runs import Run
from mmm4rec_lite.study.shop import shown
from mmm4rec_lite.viz.explorers import filter_explorer, modality_dial, what_if
from mmm4rec_lite.viz.explorers.page import histories, write_page
from mmm4rec_lite.viz.live.export import explain

# numbers of milliseconds; each change is followed by the layout that it causes
PASSES = """() => Array.from({ length: 40 }, () => {
  const began = performance.now();
  mmm4rec.forward(mmm4rec.model, mmm4rec.result().given.history);
  return performance.now() - began;
}).slice(20)"""
REDRAWN = """block => Array.from({ length: 30 }, (_, k) => {
  const state = mmm4rec.state(), gaps = state.gaps.map((gap, t) => t === 5 ? 3600 * (k + 1) : gap);
  mmm4rec.view.block = block;
  const began = performance.now();
  mmm4rec.edit({ ...state, gaps });
  document.body.offsetHeight;
  return performance.now() - began;
}).slice(10)"""
TURNED = """control => Array.from({ length: 30 }, (_, k) => {
  const slider = document.querySelector(`[data-control=${control}]`), { min, max } = slider;
  const began = performance.now();
  slider.value = +min + (max - min) * (k + 1) / 32;
  slider.dispatchEvent(new Event("input"));
  document.body.offsetHeight;
  return performance.now() - began;
}).slice(10)"""
USER = "chairs-u00007"  # has the most items that the window holds
SHARES = ("history_image", "candidate_image")


def main():
    store = load_dataset(Path(__file__).parent.parent / "data_samples" / "store")
    features = shown(truth_of(store), store)
    torch.manual_seed(0)
    model = MMM4Rec.from_catalogue(ModelConfig(), features.catalogue(store.items["item"]))
    cases = {
        "what if": (what_if(model, store, USER), {"gap": (1, 100), "item": (0, 19)}, 300),
        "filter": (filter_explorer(), {"period1": (3, 12), "size2": (0.1, 1)}, 50),
        "modality dial": (modality_dial(model, store, features, USER), dict.fromkeys(SHARES, (0, 100)), 300),
    }
    for name, (explorer, controls, budget) in cases.items():
        for control, (low, high) in controls.items():
            whole = control == "item"
            values = [low + i % (high - low + 1) for i in range(20)] if whole else np.linspace(low, high, 20).tolist()
            took, worked = [], []
            for value in values:
                began, busy = time.perf_counter(), time.process_time()
                getattr(explorer, control).value = value
                took.append(1000 * (time.perf_counter() - began))
                worked.append(1000 * (time.process_time() - busy))
            assert not explorer.error.value, explorer.error.value
            tell(name, control, budget, took, median_cpu_ms=statistics.median(worked))
    if shutil.which("chromium"):
        in_chromium()


def tell(name, control, budget, took, **more):
    """``fastest_ms`` is nearest to what a machine with nothing else to do would take."""
    line = dict(explorer=name, control=control, budget_ms=budget, slowest_ms=max(took), fastest_ms=min(took))
    line |= dict(median_ms=statistics.median(took)) | more
    print(json.dumps({key: round(told, 1) if isinstance(told, float) else told for key, told in line.items()}))


def in_chromium():
    """The page and the mask explorer in which the model runs; both over an untrained one."""
    from playwright.sync_api import sync_playwright

    shop = make_store(None, StoreConfig(users=8, items=40, length=20))
    torch.manual_seed(0)
    catalogue = Catalogue(torch.randn(401, 64), torch.randn(401, 64), torch.ones(401).bool())
    model = MMM4Rec.from_catalogue(ModelConfig(), catalogue).eval()
    record = dict(system="mmm4rec+id", dataset="store", protocol="small", scale="none", seed=0, date="today")
    none = torch.zeros(0, dtype=torch.long)
    users = shop.interactions["user"].value_counts().index[:2].tolist()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as running:
        run = Run(record, pd.DataFrame(), none, none, model, Path(folder))
        explain(run, shop, users, Path(folder, "live.html"))
        write_page(Path(folder, "mask.html"), histories(shop, users, 20), run, shop)
        chromium = running.chromium.launch(executable_path=shutil.which("chromium"))
        tab = chromium.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(Path(folder, "live.html").as_uri())
        assert tab.evaluate("mmm4rec.state().items.length") == 20 and tab.evaluate("mmm4rec.model.items") == 400
        tell("live page", "one pass", 30, tab.evaluate(PASSES))
        for block in tab.evaluate("[...document.querySelectorAll('.block')].map(block => block.dataset.block)"):
            tell("live page", f"a gap, {block} open", 30, tab.evaluate(REDRAWN, block))
        tab.goto(Path(folder, "mask.html").as_uri())
        for control in ("A", "delta", "gap", "scale"):
            tell("mask explorer, model", control, 30, tab.evaluate(TURNED, control))
        chromium.close()


if __name__ == "__main__":
    main()
