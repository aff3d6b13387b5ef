"""``make tour``: from nothing to recommendations on real data and a site, each step kept for the next time."""

import os
import time
from pathlib import Path

from mmm4rec_lite.data import dataset_statistics
from mmm4rec_lite.study.protocol import presets
from mmm4rec_lite.study.site import executed, render
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.files import workspace


def tour(posters=None):
    """Run the quickstart experiment, print its numbers, execute the notebooks, write ``site/index.html``."""
    if posters is not None:
        os.environ["MMM4REC_POSTERS"] = str(Path(posters).absolute())  # the notebooks' kernels read it
    began = time.perf_counter()

    def step(text):
        print(f"\n[{time.perf_counter() - began:4.0f} s] {text}", flush=True)

    step("Data: MovieLens-100K and its domains")
    films = presets.dataset()
    print(
        dataset_statistics([films, *map(films.select, films.domains)]).to_string(
            index=False, float_format="{:.2f}".format
        )
    )
    step("Features: pretrained encoders, packaged with pip")
    rows = presets.features(films)
    print(rows)
    step("Pre-training on the source domains (eq. 21)")
    start, _, history = presets.pretrained(films, rows)
    print(history.to_string(index=False))
    step(f"Fine-tuning on {presets.TARGET} (eq. 22)")
    target = films.select(presets.TARGET)
    _, model, history = presets.finetuned(target, rows, start)
    print(history.to_string(index=False))
    step(f"Full ranking of the test targets ({presets.caption()})")
    print(presets.comparison(target, {"MMM4Rec": model}).to_string(index=False, float_format="{:.4f}".format))
    step("Notebooks")
    sources = sorted(workspace("notebooks").glob("*.ipynb"))
    if not sources:
        raise InputError("no notebooks here; run the tour in the project's folder")
    done = []
    for path in sources:
        started = time.perf_counter()
        done.append(executed(path, workspace("runs", "notebooks")))
        print(f"{time.perf_counter() - started:6.1f} s  {path.name}", flush=True)
    index = render(done, workspace("site"), workspace("notebooks") / "decay_mask.html")
    step(f"Done: open {index}")
