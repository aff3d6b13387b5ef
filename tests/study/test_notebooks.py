"""What every notebook here keeps to: executed in order, short code, more prose, nothing private, nothing remote."""

import re
from pathlib import Path

import nbformat
import pytest

PATHS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, 4)


def cells(notebook, kind):
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def outputs(notebook):
    return [output for cell in cells(notebook, "code") for output in cell.outputs]


def lines(cell):
    return [line for line in cell.source.splitlines() if line.strip()]


def texts(notebook):
    """All that a reader can read: sources, and outputs save pictures."""
    yield from (cell.source for cell in notebook.cells)
    for output in outputs(notebook):
        yield output.get("text", "")
        yield from (str(value) for kind, value in output.get("data", {}).items() if not kind.startswith("image/"))


def test_there_are_notebooks():
    assert PATHS


def test_it_is_valid_and_small(path, notebook):
    nbformat.validate(notebook)
    assert path.stat().st_size < 500_000


def test_every_code_cell_was_executed_in_order(notebook):
    code = cells(notebook, "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


def test_no_error_and_nothing_from_stderr_is_stored(notebook):
    assert not [o for o in outputs(notebook) if o.output_type == "error" or o.get("name") == "stderr"]


def test_one_cell_holds_the_parameters(notebook):
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells(notebook, "code")) == 1
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells) == 1


def test_code_cells_are_short_and_prose_prevails(notebook):
    code, prose = cells(notebook, "code"), cells(notebook, "markdown")
    assert [cell.source for cell in code if len(lines(cell)) > 10] == []
    assert sum(len(cell.source.split()) for cell in prose) > sum(len(lines(cell)) for cell in code)
    assert len(prose) >= 0.6 * len(code)


def test_it_begins_with_its_title(notebook):
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")


def test_no_private_paths_are_told(notebook):
    private = re.compile(r"(?<![\w.])(?:/home/|/root\b|/Users/|/tmp/|/var/folders/|[A-Z]:\\Users)")
    assert [found for text in texts(notebook) for found in private.findall(text)] == []


def test_checked_cells_have_an_output(notebook):
    assert all(cell.outputs for cell in cells(notebook, "code") if "NBVAL_CHECK_OUTPUT" in cell.source)


def test_no_widget_state_and_no_pictures_from_elsewhere(notebook):
    assert "widgets" not in notebook.metadata
    assert not [o for o in outputs(notebook) if any("widget" in kind for kind in o.get("data", {}))]
    remote = re.compile(r"""!\[[^\]]*\]\(\s*(?:https?:)?//|<(?:img|script|iframe|link)\b[^>]*=["']?(?:https?:)?//""")
    assert [found for text in texts(notebook) for found in remote.findall(text)] == []
