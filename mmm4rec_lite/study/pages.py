"""What the site's pages are made of besides their notebooks: ways through them, contents, captions, claims, slides."""

import html
import re
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from string import Template

import pandas as pd
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

from mmm4rec_lite.utils.files import workspace

PATHS = {  # who reads -> what for, and the pages in order
    "A student": (
        "Learn the model: first by hand, then in code, then alive.",
        "00_quickstart 02_ssd 03_decay_masks 12_from_an_empty_file 04_alignment_and_fusion live exercise_1_duality "
        "exercise_2_time_and_ranks glossary",
    ),
    "A teacher": (
        "45 minutes in front of a class, and exercises that check themselves.",
        "teaching lecture_slides lecture exercise_1_duality exercise_2_time_and_ranks exercise_3_evidence",
    ),
    "A reviewer with twenty minutes": (
        "Does the claim hold? Verdicts first, then the runs behind them.",
        "14_verdict claims 10_audit 09_comparison 08_ablations 07_convergence",
    ),
    "Somebody with data of their own": (
        "From two csv files to recommendations with reasons.",
        "13_own_shop 01_data_and_features launch 11_open_questions",
    ),
}
HEADING = re.compile(r'<h2 id="([^"]+)">(.*?)<a class="anchor-link"', re.DOTALL)
IMAGES = "image/png", "image/svg+xml"
IMAGE = re.compile(r'<img\s[^>]*?src="data:image/(?:png|svg\+xml)[^>]*>')
LAUNCH = {  # name -> the address of a notebook there, of a repository on GitHub
    "Binder": "https://mybinder.org/v2/gh/{repository}/HEAD?labpath={path}",
    "Colab": "https://colab.research.google.com/github/{repository}/blob/HEAD/{path}",
}
_TEMPLATES = Path(__file__).parent / "templates"


def template(name: str) -> Template:
    """A page's frame, the common style filled in."""
    style = (_TEMPLATES / "style.html").read_text("utf-8")
    return Template((_TEMPLATES / f"{name}.html").read_text("utf-8").replace("$style", style))


def learning_paths(titles: Mapping[str, str]) -> str:
    """The ways through the pages that are there; ``titles``: page -> its title."""
    parts = []
    for who, (why, names) in PATHS.items():
        steps = [
            f'<li class="step"><a href="{n}.html">{html.escape(titles[n])}</a></li>'
            for n in names.split()
            if n in titles
        ]
        if steps:
            parts.append(f"<section><h3>{who}</h3><p>{why}</p><ol>{''.join(steps)}</ol></section>")
    return "".join(parts)


def contents(body: str) -> str:
    """A list of a page's sections; nothing for fewer than three."""
    found = HEADING.findall(body)
    lines = [f'<li><a href="#{anchor}">{words.lstrip("0123456789. ")}</a></li>' for anchor, words in found]
    shown = f"<details class='contents' open><summary>On this page</summary><ol>{''.join(lines)}</ol></details>\n"
    return shown if len(lines) > 2 else ""


def captioned(body: str, figures: Iterable[tuple[str, bool]]) -> str:
    """Each figure of a page with its words as alternative text, and the first of them as a caption below.

    ``figures``: words, and whether the page's own text has the caption.
    """
    words = iter(figures)
    numbers = count(1)

    def shown(found):
        told, own = next(words, ("", True))
        if not told:  # no output of a cell
            return found.group()
        bare = re.sub(r'\salt="[^"]*"', "", found.group())
        image = f'<img alt="{html.escape(told)}"{bare.removeprefix("<img")}'
        caption = html.escape(told.split(" | ")[0].removeprefix("Figure: "))
        return image if own else f"<figure>{image}<figcaption>Figure {next(numbers)}. {caption}</figcaption></figure>"

    return IMAGE.sub(shown, body)


def document(path: Path | str, pages: Iterable[str]) -> NotebookNode:
    """A Markdown file as a notebook of prose; links lead to ``pages`` of the site, others lose their address."""
    known = set(pages)

    def link(found):
        words, target, part = found.groups()
        stem = Path(target).stem
        return f"[{words}]({stem}.html{part or ''})" if stem in known else words

    text = re.sub(r"\[([^\]]+)\]\((?!\w+:|#)([^)#]+)(#[^)]*)?\)", link, Path(path).read_text(encoding="utf-8"))
    return new_notebook(cells=[new_markdown_cell(part) for part in re.split(r"\n(?=## )", text)])


def claims_notebook(rows: pd.DataFrame, found: pd.DataFrame, made_of: str) -> NotebookNode:
    """The claims as a page: what the audit ``found`` (``audit.summary``), then ``claims_page.claim_rows``."""
    intro = f"""# The claims: does the paper hold?

Each claim of the paper (arXiv 2506.02916v4) and the verdict that follows by one rule: a case counts when its difference
is two standard errors or more, and a claim is *not tested* where its runs could not have decided it (cut short, one
seed, without the pre-training that it is about).

## What the code, the logs and the tables say

**{_counts(found)}.** Most of these need no comparison of accuracies: they are read off the authors' code, their logs
and their tables. [Chapter 10](10_audit.html) shows each of them.

"""
    read = "".join(
        f"<tr><td class='wide' data-label='claim'>{_lines(row.claim)}</td>"
        f"<td class='wide' data-label='found'>{_escaped(row.evidence)}<br><small>{row.kind}; {row.name}</small></td>"
        f"<td data-label='verdict'><strong>{row.verdict}</strong></td></tr>"
        for row in found.itertuples(index=False)
    )
    second = f"""

## What runs say of its accuracy and cost

**{_counts(rows)}.** Measured: {made_of}.

"""
    body = []
    for row in rows.itertuples():
        where = f'<br><a href="{row.link}">the cell</a>' if row.link else ""
        why = f"<br><small>{_lines(row.why)}</small>" if row.why else ""
        body.append(
            f"<tr><td class='wide' data-label='claim'>{_lines(row.claim)}<br><small>{_lines(row.place)}</small>"
            f"{where}</td>"
            f"<td class='wide' data-label='published'>{_lines(row.published)}</td>"
            f"<td class='wide' data-label='measured'>{_lines(row.measured)}</td>"
            f"<td data-label='scale'>{_lines(row.scale)}</td><td data-label='seeds'>{row.seeds}</td>"
            f"<td data-label='verdict'><strong>{row.verdict}</strong>{why}</td></tr>"
        )
    runs = _table("claim published measured scale seeds verdict", "".join(body))
    parts = intro + _table("claim found verdict", read), second + runs
    return new_notebook(cells=list(map(new_markdown_cell, parts)))


def _counts(rows):
    counts = ", ".join(f"{n} {word}" for word, n in rows["verdict"].value_counts().items())
    return f"{len(rows)} claims: {counts}"


def _table(names, body):
    head = "".join(f"<th>{name}</th>" for name in names.split())
    return f"<table class='claims'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _escaped(text):
    return html.escape(text).replace("$", "&#36;")


def _lines(text, shown=4):
    """A text with a line for each of its parts, those after the first ones folded."""
    parts = _escaped(text).split("; ")
    rest = "<br>".join(parts[shown:])
    more = f"<details><summary>{len(parts) - shown} more</summary>{rest}</details>" if rest else ""
    return "<br>".join(parts[:shown]) + more


def slide_stops(notebook: NotebookNode) -> tuple[NotebookNode, list[tuple[int, int]]]:
    """The notebook as its slides show it, and which cells (from, to) stand there at each stop of the arrow keys.

    From ``slideshow`` in the cells' metadata; a "fragment" comes one key later than the rest of its slide. Code is
    shown where it prints something.
    """
    kind = lambda cell: cell.metadata.get("slideshow", {}).get("slide_type", "-")
    cells = [cell for cell in notebook.cells if kind(cell) not in ("skip", "notes")]
    for cell in cells:
        prints = any(output.output_type == "stream" for output in cell.get("outputs", []))
        if cell.cell_type == "code" and not prints:
            cell.metadata["transient"] = {"remove_source": True}
    begins = [i for i, cell in enumerate(cells) if kind(cell) in ("slide", "subslide")]
    ends = [i for i, cell in enumerate(cells) if i and kind(cell) in ("slide", "subslide", "fragment")] + [len(cells)]
    stops = [(max(begin for begin in begins if begin < end), end) for end in ends] if begins else []
    return new_notebook(cells=cells, metadata=notebook.metadata), stops


def launch_links(name: str) -> str:
    """Links that open a notebook on Binder and Colab, once CITATION.cff names a repository on GitHub; else nothing."""
    text = _text(workspace() / "CITATION.cff")
    known = re.search(r"^repository-code: .*github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?\W*$", text, re.MULTILINE)
    found = sorted((workspace() / "notebooks").rglob(f"{name}.ipynb"))
    if not known or not found:
        return ""
    path = found[0].relative_to(workspace()).as_posix()
    address = {place: form.format(repository=known[1], path=path) for place, form in LAUNCH.items()}
    return "".join(f'<a href="{html.escape(a)}">Open on {name}</a> ' for name, a in address.items())


def _text(path):
    return path.read_text(encoding="utf-8") if path.is_file() else ""
