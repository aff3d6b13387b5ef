"""Notebooks executed and rendered to pages that need no network: pictures inside, maths as MathML."""

import hashlib
import html
import re
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter
from tqdm.auto import tqdm

from mmm4rec_lite.errors import KitError
from mmm4rec_lite.files import atomic

CELL_SECONDS = 600
_CODE_OR_MATHS = re.compile(r"(```.*?```|`[^`\n]+`)|\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.DOTALL)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>mmm4rec_lite</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #1f2933 }}
ul {{ list-style: none; padding: 0; display: grid; gap: 1.5rem }}
ul {{ grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)) }}
a {{ color: inherit; text-decoration: none }} li {{ border: 1px solid #cbd2d9; border-radius: 6px; overflow: hidden }}
li:hover {{ border-color: #0173b2 }} img {{ width: 100%; height: 11rem; object-fit: contain; background: #fff }}
div {{ padding: .8rem 1rem; border-top: 1px solid #e4e7eb }}
h2 {{ font-size: 1.05rem; margin: 0 0 .4rem }} p {{ margin: 0 }}
</style></head><body><h1>MMM4Rec, readable</h1>
<p>Multi-modal Mamba for sequential recommendation (arXiv 2506.02916): the notebooks, executed on this machine.</p>
<ul>{cards}</ul></body></html>
"""


def execute(path):
    """Run a notebook top to bottom; returns it with its outputs, finished progress bars taken out."""
    path = Path(path)
    notebook = nbformat.read(path, 4)
    bar = tqdm(total=len(notebook.cells), desc=path.name, unit="cell")
    client = NotebookClient(notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": str(path.parent)}},
                            on_cell_complete=lambda **_: bar.update())
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        told = f"{error.ename}: {error.evalue}" if isinstance(error, CellExecutionError) else str(error)
        raise KitError(f"{path}: a cell failed ({told.splitlines()[0]}); open the notebook to see it") from None
    finally:
        bar.close()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)               # times of day
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if "%|" not in o.get("data", {}).get("text/plain", "")]
    notebook.metadata.pop("widgets", None)
    return notebook


def executed(path, keep):
    """The path of ``path``'s executed copy in the folder ``keep``, made unless notebook and library are unchanged."""
    path, copy = Path(path), Path(keep) / Path(path).name
    code = sorted(Path(__file__).parent.rglob("*.py"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in [path, *code])).hexdigest()
    if not copy.is_file() or nbformat.read(copy, 4).metadata.get("executed") != digest:
        notebook = execute(path)
        notebook.metadata["executed"] = digest
        write(notebook, copy)
    return copy


def write(notebook, path):
    """Write a notebook, whole or not at all."""
    with atomic(path) as temporary:
        nbformat.write(notebook, temporary)


def render(notebooks, site):
    """Pages of executed notebooks and an ``index.html`` with a card for each; returns the index's path."""
    site = Path(site)
    exporter = HTMLExporter(require_js_url="", mathjax_url="", jquery_url="")
    cards = []
    for path in map(Path, notebooks):
        notebook = nbformat.read(path, 4)
        title, summary, picture = _card(notebook)
        heading = title
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                heading = ([heading] + re.findall(r"^#+ (.+)", cell.source, re.MULTILINE))[-1]
                cell.source = _CODE_OR_MATHS.sub(_mathml, cell.source)
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    output.metadata["image/png"] = {"alt": f"Figure: {heading}"}
        body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
        body = re.sub(r'<script src="">\s*</script>', "", body)      # what the three empty addresses leave behind
        with atomic(site / f"{path.stem}.html") as temporary:
            temporary.write_text(body, encoding="utf-8")
        cards.append(f'<li><a href="{path.stem}.html">{picture}<div><h2>{html.escape(title)}</h2>'
                     f"<p>{html.escape(summary)}</p></div></a></li>")
    index = site / "index.html"
    with atomic(index) as temporary:
        temporary.write_text(_PAGE.format(cards="".join(cards)), encoding="utf-8")
    return index


def _mathml(match):
    code, display, inline = match.groups()
    if code:
        return code
    return convert((display or inline).strip(), display="block" if display else "inline")


def _card(notebook):
    """Title, first paragraph and first picture of a notebook."""
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    lines = "\n\n".join(prose or ["?"]).split("\n\n")
    title = lines[0].lstrip("# ").splitlines()[0]
    plain = [re.sub(r"\*\*Aim\.\*\* |[*`$]|\[(.*?)\]\(.*?\)", r"\1", line) for line in lines[1:]]
    summary = next((line for line in plain if line[:1].isalpha()), "")
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    for output in outputs:
        if png := output.get("data", {}).get("image/png"):
            return title, summary, f'<img alt="" src="data:image/png;base64,{png.strip()}">'
    return title, summary, ""
