"""``make tour``: from nothing to recommendations on real data and a site, each step kept for the next time."""

import os
import time
from pathlib import Path

from mmm4rec_lite import quickstart
from mmm4rec_lite.data import statistics
from mmm4rec_lite.errors import KitError
from mmm4rec_lite.files import workspace
from mmm4rec_lite.site import executed, render


def tour(posters=None):
    """Run the quickstart experiment, print its numbers, execute the notebooks, write ``site/index.html``."""
    if posters is not None:
        os.environ["MMM4REC_POSTERS"] = str(Path(posters).absolute())  # the notebooks' kernels read it
    began = time.perf_counter()

    def step(text):
        print(f"\n[{time.perf_counter() - began:4.0f} s] {text}", flush=True)

    step("Data: MovieLens-100K and its domains")
    films = quickstart.dataset()
    print(statistics([films, *map(films.select, films.domains)]).to_string(index=False, float_format="{:.1f}".format))
    step("Features: pretrained encoders, packaged with pip")
    rows = quickstart.features(films)
    print(rows)
    step("Pre-training on the source domains (eq. 21)")
    start, _, history = quickstart.pretrained(films, rows)
    print(history.to_string(index=False))
    step(f"Fine-tuning on {quickstart.TARGET} (eq. 22)")
    target = films.select(quickstart.TARGET)
    _, model, history = quickstart.finetuned(target, rows, start)
    print(history.to_string(index=False))
    step(f"Full ranking of the test targets ({quickstart.caption()})")
    print(quickstart.comparison(target, {"MMM4Rec": model}).to_string(index=False, float_format="{:.4f}".format))
    step("Notebooks")
    sources = sorted(workspace("notebooks").glob("*.ipynb"))
    if not sources:
        raise KitError("no notebooks here; run the tour in the project's folder")
    done = []
    for path in sources:
        started = time.perf_counter()
        done.append(executed(path, workspace("runs", "notebooks")))
        print(f"{time.perf_counter() - started:6.1f} s  {path.name}", flush=True)
    index = render(done, workspace("site"), workspace("notebooks") / "decay_mask.html")
    step(f"Done: open {index}")
