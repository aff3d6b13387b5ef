"""Kills at file events of what writes: old or new is there, whole, and the same call ends as if never killed."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import mmm4rec_lite as m4r
from mmm4rec_lite.data.mapped import open_sequences
from mmm4rec_lite.features import extraction
from mmm4rec_lite.utils.digest import digest
from mmm4rec_lite.utils.errors import InputError
from tests.support import toy as make_toy
from tests.support.attacks import Report, shop
from tests.support.attacks.apart import apart, preload, wait_a_moment


def _save():
    shop.toy().save("shop")


def _features():
    extraction.PART = 20
    m4r.extract(shop.toy(), m4r.load_encoder("random"), "features.safetensors", progress=False)


def _run():
    m4r.run(shop.task(), "sasrec", out="run", **shop.TINY | {"epochs": 3})


def _sequences():
    open_sequences(make_toy.FOLDER, "sequences.safetensors")


def _page():
    from mmm4rec_lite.viz.explorers.page import histories, write_page

    write_page("page.html", histories(shop.toy(), ["user00"]))


def _drawings():
    from mmm4rec_lite.study.drawings import write_drawings

    write_drawings("drawings")


def _import():
    m4r.import_tables("toy.csv", "items.csv", k=1).save("imported")


def _of_run(folder):
    done = m4r.load_run(folder / "run", shop.task())
    return digest(done.ranks, *done.model.state_dict().values(), list(done.history["loss"]))


def _of_folder(name):
    return lambda folder: digest(*(p.read_bytes() for p in sorted((folder / name).rglob("*")) if p.is_file()))


def _of_file(name):
    return lambda folder: digest((folder / name).read_bytes())


JOBS: dict[str, tuple[Callable, Callable, str]] = {
    "a data set replaced": (_save, _of_folder("shop"), "shop"),
    "features": (_features, _of_file("features.safetensors"), "features.safetensors"),
    "a training": (_run, _of_run, "run/model.safetensors"),
    "sequences": (_sequences, _of_file("sequences.safetensors"), "sequences.safetensors"),
    "a page": (_page, _of_file("page.html"), "page.html"),
    "drawings": (_drawings, _of_file("drawings/model.svg"), "drawings/model.svg"),
    "an import": (_import, _of_folder("imported"), "imported"),
}


def _start(folder):
    """What lies there before the call: an older data set of the same name, and tables."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shop.toy().select("lamps", k=1).save(folder / "shop")
    shop.toy().interactions.to_csv(folder / "toy.csv", index=False)
    shop.toy().items.drop(columns="image").to_csv(folder / "items.csv", index=False)


def _left(folder):
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.name.startswith(".")]


def attack(count: int, seed: int = 0) -> Report:
    """Each job killed at each of its file events, or at its share of ``count`` by chance where there are more."""
    rng, report = np.random.default_rng(seed), Report()
    torch.set_num_threads(1)
    preload()
    with tempfile.TemporaryDirectory() as work:
        for name, (job, told, place) in JOBS.items():
            folder = Path(work, "here")
            _start(folder)
            before = told(folder) if (folder / place).exists() else None
            whole = apart(job, folder)
            if whole.code:
                report.fault(f"{name}: without a kill {whole.code}: {whole.text[-300:]}")
                continue
            wanted, share, at = told(folder), count // len(JOBS), range(1, whole.events + 1)
            report.counts[f"{name}: file events"] = whole.events
            for event in at if len(at) <= share else sorted(rng.choice(list(at), share, replace=False).tolist()):
                if report.late:
                    break
                _start(folder)
                first = apart(job, folder, kill_at=event)
                report.saw(f"{name}: killed" if first.code == -9 else f"{name}: ended before")
                try:
                    found = told(folder) if (folder / place).exists() else None
                except (InputError, OSError) as error:
                    found = str(error)
                if found not in (before, wanted):
                    report.fault(f"{name}, event {event}: neither old nor new: {found}")
                wait_a_moment()
                again = apart(job, folder)
                if again.code or "Traceback" in again.text:
                    report.fault(f"{name}, event {event}: the next call: {again.code} {again.text[-300:]}")
                elif told(folder) != wanted:
                    report.fault(f"{name}, event {event}: another result after the next call")
                elif left := _left(folder):
                    report.fault(f"{name}, event {event}: left behind: {left[:3]}")
    return report
