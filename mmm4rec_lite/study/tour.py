"""``make tour``: a site at once, then real data, training and recommendations, each step kept for the next time.

The site begins with the outputs that are stored in the notebooks; page by page, what this machine computed takes their
place. Killed and called again, the tour goes on where it was.
"""

import os
import time
from pathlib import Path

from mmm4rec_lite.study.site import executed, latest, render
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.files import workspace

GUIDES = "docs/teaching.md", "docs/glossary.md"
ALONE = "notebooks/decay_mask.html", "notebooks/live.html", "runs/live_films.html"  # the last: of the tour's own model


def tour(posters: Path | str | None = None) -> None:
    """Write ``site/index.html``, run the quickstart experiment, print its numbers, execute the notebooks."""
    if posters is not None:
        os.environ["MMM4REC_POSTERS"] = str(Path(posters).absolute())  # the notebooks' kernels read it
    began = time.perf_counter()
    step = lambda text: print(f"\n[{time.perf_counter() - began:4.0f} s] {text}", flush=True)
    sources = _sources()
    kept, index = workspace("runs", "notebooks"), stored_site(claims=False)
    step(f"The site, so far with the outputs stored in the notebooks: open {index.as_uri()}")
    stored_site()
    step("The page of claims, from the stored results")
    _quickstart(step, workspace() / ALONE[-1])
    step("Notebooks, each in place of its stored outputs as soon as it is done")
    pages = {path.stem: latest(path, kept) for path in sources}
    for path in sources:
        started = time.perf_counter()
        pages[path.stem] = executed(path, kept)
        render(pages.values(), index.parent, _there(ALONE), only=[path.stem], documents=_there(GUIDES))
        print(f"{time.perf_counter() - started:6.1f} s  {path.name}", flush=True)
    step(f"Done: open {index.as_uri()}")


def stored_site(claims: bool = True) -> Path:
    """Write the whole site from what is stored, computing nothing; returns the path of ``index.html``.

    ``claims``: with the page of claims, which takes some seconds more.
    """
    sources = _sources()
    kept, site = workspace("runs", "notebooks"), workspace("site")
    pages = [latest(path, kept) for path in sources]
    claims = claims and (workspace() / "benchmarks" / "results" / "comparison.csv").is_file()
    return render(pages, site, _there(ALONE), documents=_there(GUIDES), claims=claims)


def _sources():
    folder = workspace() / "notebooks"
    sources = sorted(folder.glob("*.ipynb")) + sorted((folder / "teaching").rglob("*.ipynb"))
    if not sources:
        raise InputError(f"{workspace()}: no notebooks here; run this in the project's folder")
    return sources


def _there(names):
    return [path for name in names if (path := workspace() / name).is_file()]


def _quickstart(step, page):
    """The first notebook's experiment, its numbers printed, and the trained model as a page."""
    from mmm4rec_lite.data import dataset_statistics  # with torch, which the first pages need not wait for
    from mmm4rec_lite.study.protocol import presets
    from mmm4rec_lite.viz.live.export import explain, first_users

    step("Data: MovieLens-100K and its domains")
    films = presets.dataset()
    table = dataset_statistics([films, *map(films.select, films.domains)])
    print(table.to_string(index=False, float_format="{:.1f}".format))
    step("Features: pretrained encoders, packaged with pip")
    rows = presets.features(films)
    print(rows)
    step("Pre-training on the source domains (eq. 21)")
    start = presets.pretrained(films, rows)
    print(start.history.to_string(index=False))
    step(f"Fine-tuning on {presets.TARGET} (eq. 22)")
    target = films.select(presets.TARGET)
    tuned = presets.finetuned(target, rows, start)
    print(tuned.history.to_string(index=False))
    step(f"Full ranking of the test targets ({presets.caption()})")
    print(presets.comparison(target, {"MMM4Rec": tuned.model}).to_string(index=False, float_format="{:.4f}".format))
    step("The trained model alive, in a page of its own")
    try:
        print(explain(tuned, target, first_users(target), page))
    except InputError as error:  # a model of the paper's sizes does not fit into a page
        print(f"left out: {error}")
