"""A chapter with its solutions: ``python -m tests.support.solutions NOTEBOOK`` runs all and prints what these give."""

import re
import sys
import textwrap
from pathlib import Path

import nbformat
from nbclient import NotebookClient

BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def solutions(notebook: nbformat.NotebookNode) -> list[str]:
    """The Python blocks below a notebook's exercises, as written there."""
    told = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return [textwrap.dedent(block) for block in BLOCK.findall(told.partition("## Exercises")[2])]


def executed(path: Path) -> list[nbformat.NotebookNode]:
    """The cells of the solutions, run after those of the notebook and in its folder."""
    notebook = nbformat.read(path, 4)
    blocks = solutions(notebook)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells += map(nbformat.v4.new_code_cell, blocks)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": path.parent}}).execute()
    return notebook.cells[len(notebook.cells) - len(blocks) :]


if __name__ == "__main__":
    for cell in executed(Path(sys.argv[1])):
        print(cell.source, *(o.get("text") or o.data.get("text/plain", "") for o in cell.outputs), sep="\n", end="\n\n")
