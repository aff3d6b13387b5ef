"""Makes benchmarks/results/hybrids.csv: every pair of a sequence block and an item encoder, on MovieLens' thrillers.

Usage: python benchmarks/hybrids.py (about ten minutes on two cores).
"""

from pathlib import Path

from mmm4rec_lite.runs import Protocol
from mmm4rec_lite.study.protocol import hybrids, presets

SMALL = Protocol("matched", "quick", width=32, window=10)

if __name__ == "__main__":
    table = hybrids.measure(presets.film_task(), SMALL, rows_per_epoch=2560, batch_size=128)
    table.to_csv(Path(__file__).parent / "results" / "hybrids.csv", index=False)
