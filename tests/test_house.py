"""The house in order: sizes, the top level, declared imports, one direction, documents that point somewhere."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY, STUDY = ROOT / "mmm4rec_lite", ROOT / "mmm4rec_lite" / "study"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])
OURS = {"mmm4rec_lite", "tests"}
MODELS = "__init__ base blocks config equations fast layers losses mmm4rec packed protocol registry ssd".split()
SYSTEMS = sorted(path for path in (LIBRARY / "models").glob("*.py") if path.stem not in MODELS)  # the compared ones
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def tracked(pattern):
    done = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--", pattern], cwd=ROOT, capture_output=True
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.decode().splitlines() if (ROOT / name).is_file()]


def lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def names(requirements):
    """Normalised names of requirements, those of our own extras unfolded."""
    for requirement in requirements:
        name, extras = re.match(r"([\w.-]+)(?:\[([\w,]+)\])?", requirement).groups()
        if name == PROJECT["name"]:
            yield from (inner for extra in extras.split(",") for inner in names(EXTRAS[extra]))
        else:
            yield name.lower().replace("_", "-").replace(".", "-")


def imported(tree):
    """Top-level names of all imports below a node that are neither Python's own nor ours."""
    for node in ast.walk(tree):
        found = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found = [node.module]
        for name in found:
            if (top := name.partition(".")[0]) not in OURS | sys.stdlib_module_names:
                yield top


def distributions(name):
    """What brings a module: normalised names of distributions; its own name where it is not installed."""
    return {found.lower().replace("_", "-") for found in brought().get(name, [name])}


@cache
def brought():
    return packages_distributions()


def needed_extra(node):
    """X of ``with extra("X"):``, else None."""
    if isinstance(node, ast.With):
        for call in (item.context_expr for item in node.items):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "extra":
                return call.args[0].value
    return None


# --- sizes and places ---


def test_no_file_is_longer_than_400_lines():
    assert {path.name: lines(path) for path in tracked("mmm4rec_lite/*.py") if lines(path) > 400} == {}


def test_the_library_and_the_study_stay_compact():
    study, systems = sum(map(lines, STUDY.rglob("*.py"))), sum(map(lines, SYSTEMS))
    assert study <= 7_500
    # 8,500 when the house was rebuilt; 300 for fast forms, several processes, memory maps;
    # 2,400 for checks of files, locks,
    assert (
        sum(map(lines, LIBRARY.rglob("*.py"))) - study - systems <= 11_600
    )  # pictures, the live page, drawings and reasons


def test_a_compared_system_is_short():
    most = dict.fromkeys(("athwe", "hm4sr"), 300)
    assert {path.stem: lines(path) for path in SYSTEMS if lines(path) >= most.get(path.stem, 200)} == {}


def test_the_top_level():
    folders = {path.relative_to(ROOT).parts[0] for path in tracked("*") if path.parent != ROOT}
    assert folders == {".ci", "benchmarks", "data_samples", "docs", "mmm4rec_lite", "notebooks", "tests"}
    assert {"README.md", "requirements.txt", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff"} <= {
        path.name for path in tracked("*") if path.parent == ROOT
    }


def test_every_module_says_what_it_is_for():
    assert [p for p in LIBRARY.rglob("*.py") if not ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")))] == []


def test_every_other_file_of_the_package_is_installed_with_it():
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    shipped = {f for room, globs in tables.items() for g in globs for f in (ROOT / room.replace(".", "/")).glob(g)}
    assert {path for path in tracked("mmm4rec_lite") if path.suffix != ".py"} == shipped


def test_no_test_imports_another_test():
    bad = re.compile(r"^\s*(?:from tests\S*\.test_\w+ import|import tests\S*\.test_)", re.MULTILINE)
    assert [p.name for p in tracked("tests/*.py") if bad.search(p.read_text(encoding="utf-8"))] == []


# --- imports ---


@pytest.mark.slow
def test_every_import_is_declared():
    declared = {*names(PROJECT["dependencies"]), *(name for extra in EXTRAS.values() for name in names(extra))}
    trees = [ast.parse(p.read_text(encoding="utf-8")) for p in tracked("*.py")]
    missing = {name for tree in trees for name in imported(tree) if not distributions(name) & declared}
    assert missing == set()


def test_every_guarded_import_is_brought_by_the_extra_that_it_names():
    core = set(names(PROJECT["dependencies"]))
    wrong = []
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if extra := needed_extra(node):
                brings = core | set(names(EXTRAS[extra]))
                wrong += [(path.name, extra, name) for name in imported(node) if not distributions(name) & brings]
    assert wrong == []


def test_requirements_pin_all_that_is_declared():
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pinned = {name.partition("==")[0].lower().replace("_", "-") for name in text if "==" in name}
    wanted = {
        *names(PROJECT["dependencies"]),
        *(n for e in EXTRAS if e not in ("cluster", "dev") for n in names(EXTRAS[e])),
    }
    assert wanted - pinned == set()


def test_the_contract_is_kept():
    program = Path(sys.executable).with_name("lint-imports")
    if not program.exists():
        pytest.skip("import-linter is not installed")
    done = subprocess.run([program, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# --- documents ---


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    targets = [t.partition("#")[0] for t in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"\w+:", t)]
    assert [target for target in targets if target and not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_paths_in_backticks_exist(path):
    """A path with a folder and an ending of ours: below the root, the library, or the document's own folder."""
    if path.name == "CHANGELOG.md":
        pytest.skip("tells of old names, too")
    known = re.compile(r"`((?:[\w.]+/)+[\w.-]+\.(?:py|md|csv|json|sh|html|ipynb|toml))(?::\d+)?`")
    places = (ROOT, LIBRARY, path.parent)
    found = [n for n in known.findall(path.read_text(encoding="utf-8")) if not n.startswith(("site/", "runs/"))]  # made
    assert [name for name in found if not any((place / name).exists() for place in places)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_to_functions_name_what_the_file_defines(path):
    """[`name`](file.py): a function or class of that file, as in the walk of docs/architecture.md."""
    links = re.findall(r"\[`(\w+)`\]\(([^)]+\.py)\)", path.read_text(encoding="utf-8"))
    bad = [
        (name, file)
        for name, file in links
        if not re.search(rf"^(?:def|class) {name}\b", (path.parent / file).read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert bad == []


def test_the_readme_is_short_and_shows_a_decay_mask_first():
    text = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(text) <= 120
    assert any("](docs/decay_mask.png)" in line for line in text[:15])
    assert (ROOT / "docs" / "decay_mask.png").stat().st_size < 200_000


@pytest.mark.parametrize("path", tracked("*.py"), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_code_points_to_no_page_that_is_not_there(path):
    if path == Path(__file__):
        return
    assert not re.search(r"\b(?:its|system's) page\b|(?:see|in) (?:the )?README for", path.read_text(encoding="utf-8"))
