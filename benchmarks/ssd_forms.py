"""Forward and backward seconds of the operator's three forms by length, and what ``choose`` takes: JSON lines.

    OMP_PROC_BIND=true OMP_PLACES=cores python benchmarks/ssd_forms.py

Medians of interleaved runs in one process (``experiments.ssd.scaling``), so that the ratios hold on a busy machine.
"""

import json
from functools import partial

import torch

from mmm4rec_lite.models.ssd import choose, ssd_chunked, ssd_masked, ssd_scan
from mmm4rec_lite.study.ch02_ssd import scaling

HEADS, WIDTH, STATE, BATCH_STEPS = 8, 16, 16, 4096


def main():
    for length in (4, 20, 50, 128, 512, 2048):
        forms = {"scan": ssd_scan, "masked": ssd_masked} if length <= 128 else {"scan": ssd_scan}
        chunks = [chunk for chunk in (16, 32, 64, 128) if chunk < length]
        forms |= {f"chunked {chunk}": partial(ssd_chunked, chunk=chunk) for chunk in chunks}
        batch = max(1, BATCH_STEPS // length)
        table = scaling(
            [length],
            forms,
            batch,
            backward=True,
            threads=torch.get_num_threads(),
            heads=HEADS,
            width=WIDTH,
            state=STATE,
        )
        median = table.set_index("form")["seconds"]
        form, chunk = choose(length, STATE, WIDTH)
        print(
            json.dumps(
                {
                    "length": length,
                    "batch": batch,
                    "seconds": median.round(4).to_dict(),
                    "chosen": form if form == "masked" else f"{form} {chunk}",
                    "fastest": median.idxmin(),
                }
            )
        )


if __name__ == "__main__":
    main()
