"""Forward and backward seconds of the operator's three forms by length, and what ``choose`` takes: JSON lines.

    OMP_PROC_BIND=true OMP_PLACES=cores python benchmarks/ssd_forms.py

Medians of interleaved runs in one process, so that the ratios hold on a busy machine.
"""

import json
import statistics
import time

import torch

from mmm4rec_lite.ssd import choose, ssd_chunked, ssd_masked, ssd_scan

HEADS, WIDTH, STATE, BATCH_STEPS = 8, 16, 16, 4096


def main():
    for length in (4, 20, 50, 128, 512, 2048):
        batch = max(1, BATCH_STEPS // length)
        x = torch.randn(batch, length, HEADS, WIDTH, requires_grad=True)
        dt, A = torch.rand(batch, length, HEADS), -torch.rand(HEADS)
        B, C = torch.randn(2, batch, length, 1, STATE)
        forms = {"scan": ssd_scan, "masked": ssd_masked} if length <= 128 else {"scan": ssd_scan}
        for chunk in (16, 32, 64, 128):
            if chunk < length:
                forms[f"chunked {chunk}"] = lambda *a, chunk=chunk: ssd_chunked(*a, chunk=chunk)
        times = {name: [] for name in forms}
        for _ in range(6):
            for name, form in forms.items():
                began = time.perf_counter()
                form(x, dt, A, B, C).sum().backward()
                times[name].append(time.perf_counter() - began)
        median = {name: round(statistics.median(values[1:]), 4) for name, values in times.items()}
        form, chunk = choose(length, STATE, WIDTH)
        print(json.dumps({"length": length, "batch": batch, "seconds": median,
                          "chosen": form if form == "masked" else f"{form} {chunk}",
                          "fastest": min(median, key=median.get)}))


if __name__ == "__main__":
    main()
