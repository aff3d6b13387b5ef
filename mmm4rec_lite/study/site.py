"""Notebooks executed and rendered to pages that need no network: pictures inside, maths as MathML."""

import base64
import hashlib
import html
import io
import logging
import os
import re
import shutil
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter
from PIL import Image, ImageChops
from tqdm.auto import tqdm

from mmm4rec_lite import viz
from mmm4rec_lite.analysis.decay import explore
from mmm4rec_lite.models.config import scale
from mmm4rec_lite.utils.devices import device
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.files import atomic

CELL_SECONDS = 600
NO_WORDS = "No description has been provided for this image"  # nbconvert's alternative text
MOVED = 16  # of 255: by how much a colour of a figure may change to save room
_CODE_OR_MATHS = re.compile(r"(```.*?```|`[^`\n]+`)|\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.DOTALL)
_NOTEBOOK_LINK = re.compile(r"\]\((\w+)\.ipynb(?=[#)])")
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>mmm4rec_lite</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #1f2933 }}
ul {{ list-style: none; padding: 0; display: grid; gap: 1.5rem }}
ul {{ grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)) }}
a {{ color: inherit; text-decoration: none }} li {{ border: 1px solid #cbd2d9; border-radius: 6px; overflow: hidden }}
li:hover {{ border-color: #0173b2 }}
img {{ width: 100%; height: 11rem; object-fit: contain; padding: .4rem; box-sizing: border-box }}
div {{ padding: .8rem 1rem; border-top: 1px solid #e4e7eb }}
h2 {{ font-size: 1.05rem; margin: 0 0 .4rem }} p {{ margin: 0 }}
</style></head><body><h1>MMM4Rec, readable</h1>
<p>Multi-modal Mamba for sequential recommendation (arXiv 2506.02916): the notebooks, executed on this machine.</p>
<ul>{cards}</ul></body></html>
"""
# on every page; a browser stretches brackets only in a font that was made for maths
_HEAD = """<style>
math {{ font-family: "Cambria Math", "STIX Two Math", "Latin Modern Math", "DejaVu Math TeX Gyre", math }}
main, nav.chapters {{ max-width: 68rem; margin: auto }} nav.chapters a {{ color: #01579b }}
nav.chapters {{ padding: 1rem; display: flex; flex-wrap: wrap; gap: .5rem 2rem; font: 14px/1.5 system-ui, sans-serif }}
</style>
<nav class="chapters" aria-label="Chapters">{links}</nav>"""


def execute(path):
    """Run a notebook top to bottom; returns it with its outputs, finished progress bars taken out, pictures made small.

    Of a widget stays what it shows without a kernel: an explorer's figure.
    """
    path = Path(path)
    notebook = nbformat.read(path, 4)
    bar = tqdm(total=len(notebook.cells), desc=path.name, unit="cell")
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],
        on_cell_complete=lambda **_: bar.update(),
    )
    try:
        client.execute()
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


def smaller(png):
    """A PNG (base64) in less room: with a palette of 256 colours if that does not show, without alpha if all is opaque.

    Most plots have few colours besides those of their smoothed edges; where a pixel would move by more than
    ``MOVED`` (colour bars would get bands), all colours stay. Transparent pictures stay as they are.
    """
    picture, file = Image.open(io.BytesIO(base64.b64decode(png))), io.BytesIO()
    if picture.convert("RGBA").getextrema()[3][0] < 255:
        return png
    full = picture.convert("RGB")
    moved = lambda few: max(high for _, high in ImageChops.difference(full, few.convert("RGB")).getextrema())
    ways = dict(kmeans=3), dict(method=Image.Quantize.FASTOCTREE)  # one for few colours, one for many shades
    palettes = (full.quantize(256, dither=Image.Dither.NONE, **way) for way in ways)  # dithering dots even areas
    next((few for few in palettes if moved(few) <= MOVED), full).save(file, format="png", optimize=True)
    return min(png, base64.b64encode(file.getvalue()).decode(), key=len)


def executed(path, keep):
    """The path of ``path``'s executed copy in the folder ``keep``, made unless all it hangs on is unchanged."""
    path, copy = Path(path), Path(keep) / Path(path).name
    digest = _inputs(path)
    if not copy.is_file() or nbformat.read(copy, 4).metadata.get("executed") != digest:
        notebook = execute(path)
        notebook.metadata["executed"] = digest
        write(notebook, copy)
    return copy


def _inputs(path):
    """A digest of what a notebook's outputs hang on: itself, the library, stored results, samples, posters, scale."""
    stored = [path.parent.parent / folder for folder in ("benchmarks/results", "data_samples")]
    read = [path, *sorted(Path(__file__).parent.rglob("*.py"))]
    read += [file for folder in stored for file in sorted(folder.rglob("*")) if file.is_file()]
    posters = sorted(Path(os.environ.get("MMM4REC_POSTERS") or "no posters").glob("*.jpg"))
    known = repr([scale(), device().type, [(file.name, file.stat().st_size) for file in posters]])
    return hashlib.sha256(b"".join([known.encode(), *(file.read_bytes() for file in read)])).hexdigest()


def write(notebook, path):
    """Write a notebook, whole or not at all."""
    with atomic(path) as temporary:
        nbformat.write(notebook, temporary)


def render(notebooks, site, explorer=None):
    """Pages of executed notebooks and an ``index.html`` with a card for each, in the order given.

    ``explorer``: the stand-alone page of ``widgets.page``, which gets a copy and a card too. Returns the index's path.
    """
    site = Path(site)
    exporter = HTMLExporter(require_js_url="", mathjax_url="", jquery_url="")
    exporter.log.setLevel(logging.ERROR)  # it warns of missing words for figures; see below
    chapters = {Path(path).stem: nbformat.read(path, 4) for path in notebooks}
    shown = {name: _card(notebook) for name, notebook in chapters.items()}
    for name, notebook in chapters.items():
        title, *_ = shown[name]
        heading, figures = title, []
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                heading = ([heading] + re.findall(r"^#+ (.+)", cell.source, re.MULTILINE))[-1]
                cell.source = _NOTEBOOK_LINK.sub(r"](\1.html", _CODE_OR_MATHS.sub(_mathml, cell.source))
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    figures.append(html.escape(heading))
        body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
        for figure in figures:
            body = body.replace(f'alt="{NO_WORDS}"', f'alt="Figure: {figure}"', 1)
        body = re.sub(r'<script src="">\s*</script>', "", body)  # what the three empty addresses leave behind
        begin = re.search("<body[^>]*>", body).end()
        body = body[:begin] + _HEAD.format(links=_links(name, shown)) + body[begin:]
        with atomic(site / f"{name}.html") as temporary:
            temporary.write_text(body, encoding="utf-8")
    if explorer is not None:
        with atomic(site / Path(explorer).name) as temporary:
            shutil.copyfile(explorer, temporary)
        shown[Path(explorer).stem] = _explorer_card()
    cards = [
        f'<li><a href="{name}.html">{picture}<div><h2>{html.escape(title)}</h2><p>{html.escape(summary)}</p></div>'
        "</a></li>"
        for name, (title, summary, picture) in shown.items()
    ]
    index = site / "index.html"
    with atomic(index) as temporary:
        temporary.write_text(_PAGE.format(cards="".join(cards)), encoding="utf-8")
    return index


def _links(name, shown):
    """Where a reader of chapter ``name`` may go: back to the index, a chapter back, a chapter on."""
    names = list(shown)
    at = names.index(name)
    near = {"Before": names[max(at - 1, 0) : at], "Next": names[at + 1 : at + 2]}
    found = [
        f'{word}: <a href="{other}.html">{html.escape(shown[other][0])}</a>'
        for word, others in near.items()
        for other in others
    ]
    return " ".join(f"<span>{link}</span>" for link in ['<a href="index.html">All chapters</a>', *found])


def _mathml(match):
    code, display, inline = match.groups()
    if code:
        return code
    return convert((display or inline).strip(), display="block" if display else "inline")


def _card(notebook):
    """Title, the first paragraph's first sentence and first picture of a notebook."""
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    lines = "\n\n".join(prose or ["?"]).split("\n\n")
    title = lines[0].lstrip("# ").splitlines()[0]
    plain = [re.sub(r"\*\*Aim\.\*\* |[*`$]|\[(.*?)\]\(.*?\)", r"\1", line) for line in lines[1:]]
    summary = re.split(r"(?<=[.!?])\s+(?=[A-Z])", next((line for line in plain if line[:1].isalpha()), ""))[0]
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    for output in outputs:
        if png := output.get("data", {}).get("image/png"):
            return title, summary, _picture(png.strip())
    return title, summary, ""


def _explorer_card():
    """As ``_card``, for the stand-alone page; the picture is the mask of a history of two visits."""
    visits = [0, 3600, 3600, 3600, 60 * 86_400, 3600, 3600, 3600]
    mask, file = explore(visits, A=-2, delta=1.5, base=0.2)["mask"], io.BytesIO()
    viz.mask_map(mask, list("12345678"), "").savefig(file, format="png")
    summary = "Sliders for everything that decides what is left of a past purchase, in one page that needs no Python."
    return "Touch it: the decay mask", summary, _picture(base64.b64encode(file.getvalue()).decode())


def _picture(png):
    return f'<img alt="" src="data:image/png;base64,{png}">'
