"""Notebooks executed and rendered to pages that need no network: pictures inside, maths as MathML."""

import base64
import copy
import html
import io
import logging
import os
import re
import shutil
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from latex2mathml.converter import convert
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from PIL import Image, ImageChops
from tqdm.auto import tqdm

from mmm4rec_lite.study import pages
from mmm4rec_lite.study.protocol.scale import scale
from mmm4rec_lite.utils.errors import InputError, first_line
from mmm4rec_lite.utils.files import atomic, workspace

CELL_SECONDS = 600
MOVED = 16  # of 255: by how much a colour of a figure may change to save room
LIBRARY = Path(__file__).parents[1]
STORED, COMPUTED = "Outputs as stored with the notebook.", "Outputs computed on this machine."
_CODE_OR_MATHS = re.compile(r"(```.*?```|`[^`\n]+`)|\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.DOTALL)
_NOTEBOOK_LINK = re.compile(r"\]\((?:[\w.]+/)*(\w+)\.ipynb(?=[#)])")
_INDEX, _CHAPTER, _SLIDES = map(pages.template, ("index", "chapter", "slides"))


def _read(path):
    try:
        nbformat.validate(notebook := nbformat.read(path, 4))
    except Exception as error:  # what is no notebook fails anywhere
        raise InputError(f"{path}: no notebook that can be read ({first_line(error)})") from None
    return notebook


def execute(path: Path | str) -> NotebookNode:
    """Run a notebook; returns it with its outputs, without finished progress bars and widgets, pictures made small."""
    path = Path(path)
    notebook = _read(path)
    bar = tqdm(total=len(notebook.cells), desc=path.name, unit="cell")
    where = {"metadata": {"path": str(path.parent)}}
    options: dict[str, Any] = dict(timeout=CELL_SECONDS, extra_arguments=["--log-level=ERROR"], resources=where)
    try:
        NotebookClient(notebook, on_cell_complete=lambda **_: bar.update(), **options).execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        told = f"{error.ename}: {error.evalue}" if isinstance(error, CellExecutionError) else str(error)
        raise InputError(f"{path}: a cell failed ({told.splitlines()[0]}); open the notebook to see it") from None
    finally:
        bar.close()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if "%|" not in o.get("data", {}).get("text/plain", "")]
            for data in (output["data"] for output in cell.outputs if "data" in output):
                data.pop("application/vnd.jupyter.widget-view+json", None)  # dead without its kernel
                if "image/png" in data:
                    data["image/png"] = smaller(data["image/png"])
    notebook.metadata.pop("widgets", None)
    return notebook


def smaller(png: str) -> str:
    """A PNG (base64) in less room: with 256 colours if none moves by more than ``MOVED``, without alpha if opaque."""
    picture, file = Image.open(io.BytesIO(base64.b64decode(png))), io.BytesIO()
    if min(picture.convert("RGBA").getchannel("A").tobytes()) < 255:
        return png
    full = picture.convert("RGB")
    moved = lambda few: max(ImageChops.difference(full, few.convert("RGB")).tobytes())
    ways = dict(kmeans=3), dict(method=Image.Quantize.FASTOCTREE)  # one for few colours, one for many shades
    palettes = (full.quantize(256, dither=Image.Dither.NONE, **way) for way in ways)  # dithering dots even areas
    next((few for few in palettes if moved(few) <= MOVED), full).save(file, format="png", optimize=True)
    return min(png, base64.b64encode(file.getvalue()).decode(), key=len)


def write(notebook: NotebookNode, path: Path | str) -> None:
    """Write a notebook, whole or not at all."""
    with atomic(path) as temporary:
        nbformat.write(notebook, temporary)


def executed(path: Path | str, keep: Path | str) -> Path:
    """The path of ``path``'s executed copy in the folder ``keep``, made unless all it hangs on is unchanged."""
    path, copy = Path(path), Path(keep) / Path(path).name
    known = _inputs(path)
    if not copy.is_file() or _read(copy).metadata.get("executed") != known:
        notebook = execute(path)
        notebook.metadata["executed"] = known
        write(notebook, copy)
    return copy


def latest(path: Path | str, keep: Path | str) -> Path:
    """The executed copy of ``path`` in the folder ``keep`` if it has the same cells, else ``path`` itself."""
    path, copy = Path(path), Path(keep) / Path(path).name
    cells = lambda file: [cell.source for cell in _read(file).cells]
    return copy if copy.is_file() and cells(copy) == cells(path) else path


def _inputs(path):
    """A digest of what a notebook's outputs hang on: itself, the library, stored results, samples, posters, scale."""
    from mmm4rec_lite.utils.devices import device  # torch: seconds that pages alone do not need
    from mmm4rec_lite.utils.digest import digest

    stored = [up / folder for up in path.parents[1:4] for folder in ("benchmarks/results", "data_samples")]
    read = [path, *sorted(LIBRARY.rglob("*.py"))]
    read += [file for folder in stored for file in sorted(folder.rglob("*")) if file.is_file()]
    posters = sorted(Path(os.environ.get("MMM4REC_POSTERS") or "no posters").glob("*.jpg"))
    known = [scale(), device().type, [(file.name, file.stat().st_size) for file in posters]]
    return digest(known, *(file.read_bytes() for file in read))


class _Card(NamedTuple):
    """What the index shows of a page; ``picture``: PNG, base64."""

    title: str
    summary: str
    picture: str
    origin: str = ""


_CLAIMS = _Card("The claims: does the paper hold?", "Each claim, published and measured, with its verdict.", "")


def render(
    notebooks: Iterable[Path | str],
    site: Path | str,
    alone: Iterable[Path | str] = (),
    only: Collection[str] | None = None,
    documents: Iterable[Path | str] = (),
    claims: bool = False,
) -> Path:
    """Pages of notebooks and an ``index.html`` with learning paths and a card for each; returns the index's path.

    Parameters
    ----------
    notebooks: as stored, or executed copies; pages and cards say which. Those with slides get a page of them, too.
    alone: pages that stand alone (`_ALONE`), which get a copy and a card each.
    only: names (without ending) of those whose pages are written anew; by default all.
    documents: Markdown files that get pages.
    claims: write the page of claims anew, from the stored results (a few seconds); it is the first card.
    """
    site, books, texts = Path(site), list(map(Path, notebooks)), list(map(Path, documents))
    chapters = {path.stem: _read(path) for path in books}
    known = [*chapters, "claims", *(path.stem for path in texts)]
    written = {path.stem: pages.document(path, known) for path in texts}
    if claims:
        _save(_page("claims", _claims(books), {}), site / "claims.html")
    first = {"claims": _CLAIMS} if (site / "claims.html").is_file() else {}
    cards = first | {name: _card(notebook) for name, notebook in chapters.items()}
    shown = {name: _card(notebook)._replace(origin="") for name, notebook in written.items()}
    for name in chapters if only is None else only:
        _save(_page(name, chapters[name], cards), site / f"{name}.html")
    for name, notebook in written.items():
        _save(_page(name, notebook, {**cards, **shown}), site / f"{name}.html")
    cards |= shown
    for name, path in [(path.stem, path) for path in books if _has_slides(chapters[path.stem])]:
        if only is None or name in only:
            slides(path, site / f"{name}_slides.html", alone=False)
        cards[f"{name}_slides"] = cards[name]._replace(title=f"{cards[name].title} (slides)", picture="", origin="")
    computed = sum(card.origin == COMPUTED for card in cards.values())
    for path in map(Path, alone):
        with atomic(site / path.name) as temporary:
            shutil.copyfile(path, temporary)
        cards[path.stem] = _Card(*_ALONE[path.stem], _visits() if path.stem == "decay_mask" else "")
    found = "".join(_shown(name, card) for name, card in cards.items())
    paths = pages.learning_paths({name: card.title for name, card in cards.items()})
    index = site / "index.html"
    _save(_INDEX.substitute(cards=found, computed=computed, all=len(chapters), paths=paths), index)
    return index


def _claims(notebooks):
    from mmm4rec_lite.study import audit, claims_page  # torch: seconds that pages alone do not need
    from mmm4rec_lite.study.protocol.results import listed, stored_results

    runs, pairs = stored_results()
    made = f"runs kept in benchmarks/results, scale {listed(runs, 'scale')}, {listed(runs, 'date')}"
    findings, _ = audit.load(workspace() / "benchmarks" / "results" / "audit-instruments.json")
    found = audit.summary(findings).query("verdict != '-'")
    return pages.claims_notebook(claims_page.claim_rows(runs, pairs, claims_page.claim_cells(notebooks)), found, made)


def _save(text, path):
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@cache
def _exporter():
    exporter = HTMLExporter(require_js_url="", mathjax_url="", jquery_url="")
    exporter.log.setLevel(logging.ERROR)  # it warns of missing words for figures; see `pages.captioned`
    return exporter


def _page(name, notebook, cards):
    """A page; links to other notebooks lead to their pages."""
    title, notebook = cards[name].title if name in cards else _card(notebook).title, copy.deepcopy(notebook)
    figures = _figures(title, notebook)
    body = pages.captioned(_exported(title, notebook), figures)
    begin = re.search("<body[^>]*>", body).end()
    origin = cards[name].origin if name in cards else ""
    parts = dict(links=_links(name, cards), origin=origin, launch=pages.launch_links(name) if origin else "")
    return body[:begin] + _CHAPTER.substitute(parts, contents=pages.contents(body)) + body[begin:]


def _figures(heading, notebook):
    """Of each figure its words (its own, or the heading above it), and whether the text below it is its caption."""
    figures = []
    for cell, below in zip(notebook.cells, [*notebook.cells[1:], None]):
        if cell.cell_type == "markdown":
            heading = ([heading] + re.findall(r"^#+ (.+)", cell.source, re.MULTILINE))[-1]
        drawn = ((kind, o) for o in cell.get("outputs", []) for kind in pages.IMAGES if kind in o.get("data", {}))
        told = [o.metadata.get(kind, {}).get("alt") or f"Figure: {heading.lstrip('0123456789. ')}" for kind, o in drawn]
        figures += [(words, below is not None and below.source.startswith("**Figure ")) for words in told]
    return figures


def _exported(title, notebook):
    """A notebook as HTML: maths as MathML, links to other notebooks as links to their pages."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _NOTEBOOK_LINK.sub(r"](\1.html", _CODE_OR_MATHS.sub(_mathml, cell.source))
    body, _ = _exporter().from_notebook_node(notebook, {"metadata": {"name": title}})
    body = re.sub(r'<script src="">\s*</script>', "", body)  # what the three empty addresses leave behind
    return body.replace("<p><strong>Figure ", "<p class='caption'><strong>Figure ")


def _has_slides(notebook):
    return any(cell.metadata.get("slideshow", {}).get("slide_type") == "slide" for cell in notebook.cells)


def slides(path: Path | str, out: Path | str, alone: bool = True) -> None:
    """Write a notebook's slides, with its outputs as they are, as one HTML file that shows one slide at a time.

    ``alone``: the site's pages do not lie beside it, so links to them become plain words.
    """
    notebook = _read(path)
    shown, stops = pages.slide_stops(notebook)
    if not stops:
        raise InputError(f"{path}: no cell begins a slide; set its slide type (JupyterLab: property inspector)")
    title = f"{_card(notebook).title}: slides"
    words = [(told, True) for told, _ in _figures(title, shown)]  # no captions: the slide says it
    body = pages.captioned(_exported(title, shown), words)
    if alone:
        body = re.sub(r'<a href="\w+\.html[^"]*">(.*?)</a>', r"\1", body)
    frame = _SLIDES.substitute(stops=list(map(list, stops)), links="" if alone else _links("", {}))
    _save(re.sub("<body[^>]*>", lambda begin: begin.group() + frame, body, count=1), Path(out))


def _links(name, cards):
    """Where a reader of page ``name`` may go: back to the index, a page back, a page on."""
    link = '<span>{}<a href="{}.html">{}</a></span>'.format
    if name not in cards:
        return link("", "index", "All chapters")
    names = list(cards)
    at, title = names.index(name), lambda other: html.escape(cards[other].title)
    before = [link("Before: ", other, title(other)) for other in names[max(at - 1, 0) : at]]
    after = [link("Next: ", other, title(other)) for other in names[at + 1 : at + 2]]
    return " ".join([link("", "index", "All chapters"), *before, *after])


def _mathml(match):
    code, display, inline = match.groups()
    return code or convert((display or inline).strip(), display="block" if display else "inline")


def _card(notebook):
    """Title, the first paragraph's first sentence and first picture of a notebook."""
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    lines = "\n\n".join(prose or ["?"]).split("\n\n")
    title = lines[0].lstrip("# ").splitlines()[0]
    plain = [re.sub(r"\*\*Aim\.\*\* |[*`$]|\[(.*?)\]\(.*?\)", r"\1", line) for line in lines[1:]]
    summary = re.split(r"(?<=[.!?])\s+(?=[A-Z])", next((line for line in plain if line[:1].isalpha()), ""))[0]
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    pictures = (output.data["image/png"].strip() for output in outputs if "image/png" in output.get("data", {}))
    return _Card(title, summary, next(pictures, ""), COMPUTED if "executed" in notebook.metadata else STORED)


_ALONE = {  # pages without a kernel -> title and summary of their cards
    "decay_mask": (
        "Try it yourself: the decay mask",
        "Sliders for everything that decides what is left of a past purchase, in one page that needs no Python.",
    ),
    "live": (
        "A trained model alive",
        "All of MMM4Rec runs in one page: change a history of the demo store and see every number follow.",
    ),
    "live_films": ("Alive: the model of this tour", "The same page of the model that this machine trained on films."),
}


def _visits():
    """The decay mask of a history of two visits, PNG in base64."""
    from mmm4rec_lite import viz
    from mmm4rec_lite.analysis.decay import explore

    visits = [0, 3600, 3600, 3600, 60 * 86_400, 3600, 3600, 3600]
    mask, file = explore(visits, A=-2, delta=1.5, base=0.2)["mask"], io.BytesIO()
    viz.mask_map(mask, list("12345678"), "").savefig(file, format="png")
    return base64.b64encode(file.getvalue()).decode()


def _shown(name, card):
    """A card of the index as a list item."""
    picture = f'<img alt="" src="data:image/png;base64,{card.picture}">' if card.picture else ""
    origin = f"<small>{card.origin}</small>" if card.origin else ""
    words = f"<h2>{html.escape(card.title)}</h2><p>{html.escape(card.summary)}</p>{origin}"
    return f'<li><a href="{name}.html">{picture}<div>{words}</div></a></li>'
