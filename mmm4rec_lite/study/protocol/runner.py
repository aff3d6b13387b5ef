"""Sweeps: many runs of a task under one protocol, the same for every system, as a frame.

The whole catalogue is ranked, ties against the target; the user's history stays in the ranking, and columns with
``_filtered`` take it out; the best epoch is that by validation NDCG@10 (under "paper" by each publication's metric).
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import joblib
import pandas as pd
from tqdm.auto import tqdm

from mmm4rec_lite.kept import NotTrained
from mmm4rec_lite.runs import Protocol, Run, Task, run
from mmm4rec_lite.study.protocol.scale import scale
from mmm4rec_lite.utils.devices import device
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.processes import end_with

BACKENDS = ("loky", "threading", "ray", "dask")


def sweep(
    task: Task,
    wanted: Iterable[tuple[str, str, dict[str, Any]]],
    seeds: Sequence[int] = (0, 1, 2),
    protocol: Protocol | None = None,
    backend: str | None = None,
    jobs: int | None = None,
    reads: Callable[[Run], list[dict[str, Any]]] | None = None,
    kept: bool = False,
    zeros: bool = False,
) -> pd.DataFrame:
    """Records of many runs, a row per seed and wanted form; what is kept is read, so a killed sweep goes on.

    Forms that the data cannot feed have no row but a reason in ``attrs["left_out"]``, by (system, variant).

    Parameters
    ----------
    wanted: (system, variant, further arguments of ``run``, "width" for the protocol's); the variant is a name for what
        they change, or "".
    protocol: "matched" at the scale of ``$MMM4REC_SCALE`` by default.
    backend, jobs: of joblib: this machine's processes by default, a thread per run; "ray" or "dask" name a cluster.
    reads: what to take from each run, its record by default; a function of a module, for other processes.
    kept: train nothing, and read what is there.
    zeros: take models in whose texts or pictures these data lack, as with the paper's Kindle domain.
    """
    protocol, wanted = protocol or Protocol("matched", scale()), list(wanted)
    changes = lambda more: {name: value for name, value in more.items() if name not in ("pretrained", "width")}
    why = lambda name, more: task.lacks(name, zeros, **changes(more))
    left = {(name, variant): told for name, variant, more in wanted if (told := why(name, more))}
    forms = [(*form, more, seed) for seed in seeds for *form, more in wanted if tuple(form) not in left]
    jobs = jobs or (1 if device().type == "cuda" else os.cpu_count())
    if backend is not None:
        _cluster(backend)
    with joblib.parallel_config(backend=backend or "loky", **({} if backend else {"inner_max_num_threads": 1})):
        returned = "list" if backend == "ray" else "generator"  # Ray hands all over at the end
        parallel = joblib.Parallel(n_jobs=jobs, return_as=returned)
        here = os.getpid() if backend is None else 0
        found = parallel(joblib.delayed(_read)(here, task, protocol, reads or _record, kept, *form) for form in forms)
        bar = tqdm(found, total=len(forms), desc=task.dataset.name, leave=False)
        frame = pd.DataFrame([record for records in bar for record in records])
    frame.attrs["left_out"] = left
    return frame


def _cluster(backend):
    """Make a Ray or Dask cluster known to joblib: that of $RAY_ADDRESS or $DASK_SCHEDULER_ADDRESS, else a local one."""
    if backend not in BACKENDS:
        raise InputError(f"backend: {backend!r} is not known; one of {', '.join(BACKENDS)}")
    try:
        if backend == "ray":
            from ray.util.joblib import register_ray

            register_ray()
        if backend == "dask":
            from dask.distributed import Client

            Client(set_as_default=True)
    except ImportError:
        package = {"ray": "ray", "dask": "'dask[distributed]'"}[backend]
        raise InputError(f"backend: {backend} is not installed; pip install {package}, or leave it out") from None


def _record(done):
    return [done.record]


def _read(parent, task, protocol, reads, kept, system, variant, more, seed):
    if parent not in (0, os.getpid()):
        end_with(parent)
    protocol = replace(protocol, width=more.get("width", protocol.width))
    more = {name: value for name, value in more.items() if name != "width"}
    try:
        done = run(task, system, protocol, seed=seed, progress=False, train=not kept, **more)
    except NotTrained:
        return []
    return [{**record, "variant": variant} for record in reads(done)]
