"""What every notebook here keeps to: executed in order, short code, more prose, nothing private, nothing remote."""

import ast
import pkgutil
import re
import textwrap
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest

HERE = Path(__file__).parents[2] / "notebooks"
PATHS = sorted(path for path in HERE.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)


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


def test_code_cells_are_short_and_prose_prevails(path, notebook):
    code, prose = cells(notebook, "code"), cells(notebook, "markdown")
    most = 15 if path.stem == "12_from_an_empty_file" else 10  # there a class is a cell
    assert [cell.source for cell in code if len(lines(cell)) > most] == []
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


ROOT = Path(__file__).parents[2]
FILES = [f"/{path.relative_to(ROOT).as_posix()}" for path in ROOT.glob("[!.]*/**/*.py")]
MODULES = defaultdict(list)  # last part of a module's name -> the whole names; "ch04" is short for a chapter
for file in (ROOT / "mmm4rec_lite").rglob("*.py"):
    parts = [part for part in file.relative_to(ROOT).with_suffix("").parts if part != "__init__"]
    for short in {parts[-1], re.sub(r"^(ch\d\d)_.*", r"\1", parts[-1])}:
        MODULES[short].append(".".join(parts))


def nodes(texts):
    """What the syntax trees of the texts that are Python hold."""
    for text in texts:
        with suppress(SyntaxError):
            yield from ast.walk(ast.parse(textwrap.dedent(text)))


def exists(name):
    with suppress(ImportError, AttributeError):
        return bool(pkgutil.resolve_name(name)) or True
    return False


def test_files_and_names_in_prose_exist(notebook):
    prose = "\n".join(cell.source for cell in cells(notebook, "markdown"))
    blocks = [textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", prose, re.DOTALL)]
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose)
    files = re.findall(r"[\w/]+\.py\b", "\n".join(spans))
    assert [file for file in files if not any(path.endswith(f"/{file}") for path in FILES)] == []

    own, homes = {"self"}, {}  # variables of the page and its solutions; what they import
    for node in nodes([*(cell.source for cell in cells(notebook, "code")), *map(ast.unparse, map(ast.parse, blocks))]):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.arg):
            own.add(node.arg)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            inside = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            homes |= {alias.asname or alias.name: [inside + alias.name] for alias in node.names}

    missing = []
    for node in nodes([*blocks, *(span for span in spans if not re.search(r"\.(py|md|csv|jpg|html)\b", span))]):
        if isinstance(node, ast.Attribute) and re.fullmatch(r"[a-z]\w*(\.\w+)+", name := ast.unparse(node)):
            first, rest = name.split(".", 1)
            places = homes.get(first, [first, *MODULES.get(first, [])])
            if first not in own and not any(exists(f"{place}.{rest}") for place in places):
                missing.append(name)
    assert missing == []
