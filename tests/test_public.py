"""The public face: names, documents, annotations, examples, and an import that is quick and without side effects."""

import doctest
import inspect
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import mmm4rec_lite as m4r

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), ROOT / "data_samples" / "README.md"]
BLOCKS = [
    block for path in DOCUMENTS for block in re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), re.DOTALL)
]
MODULES = ["mmm4rec_lite", *(m.name for m in walk_packages(m4r.__path__, "mmm4rec_lite."))]
AFTER_IMPORT = """
import json, os, sys
before = dict(os.environ)
import mmm4rec_lite
print(json.dumps([sorted(sys.modules), dict(os.environ) == before, mmm4rec_lite.MMM4Rec.__name__]))
"""


def documented(thing):
    """The callables that a public name offers: itself, or a class and its public methods."""
    yield thing
    if inspect.isclass(thing):
        for name, member in vars(thing).items():
            if not name.startswith("_"):
                yield from (f for f in [getattr(member, "__func__", member)] if inspect.isfunction(f))


def own(module):
    """What a module itself defines and does not hide."""
    for name, thing in vars(module).items():
        if not name.startswith("_") and getattr(thing, "__module__", "") == module.__name__:
            if inspect.isfunction(inspect.unwrap(thing)) or inspect.isclass(thing):
                yield thing


def test_some_thirty_names_and_every_one_resolves():
    assert len(m4r.__all__) <= 36
    for name in m4r.__all__:
        assert getattr(m4r, name).__name__ == name
    assert set(m4r.__all__) < set(dir(m4r))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = m4r.nothing


def test_rooms_are_reachable():
    from mmm4rec_lite import analysis, data, evaluation, features, interop, models, training, viz

    for room in (analysis, data, evaluation, features, interop, models, training, viz):
        assert getattr(m4r, room.__name__.partition(".")[2]) is room


def test_importing_starts_nothing_heavy_and_sets_nothing():
    done = subprocess.run([sys.executable, "-c", AFTER_IMPORT], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded, unchanged, name = json.loads(done.stdout)
    assert unchanged and name == "MMM4Rec"
    assert not {"torch", "numpy", "pandas", "lightning_fabric", "matplotlib"} & set(loaded)


@pytest.mark.parametrize("name", m4r.__all__)
def test_every_public_name_has_a_document_with_an_example(name):
    thing = getattr(m4r, name)
    text = inspect.getdoc(thing) or ""
    assert "\nExamples\n--------\n>>> " in text
    if inspect.isfunction(thing) and inspect.signature(thing).parameters:
        assert "\nParameters\n----------\n" in text


@pytest.mark.parametrize("module", MODULES)
def test_every_public_function_is_annotated(module):
    bare = []
    for thing in own(import_module(module)):
        for function in documented(thing):
            if inspect.isclass(function):
                continue
            signature = inspect.signature(function)
            given = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
            if signature.return_annotation is signature.empty or any(p.annotation is p.empty for p in given):
                bare.append(function.__qualname__)
    assert bare == []


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_come_out_as_written(module, monkeypatch, tmp_path, toy, random_features):
    """They find data_samples; ``task`` is made as the example of ``Task`` makes it."""
    given = {"task": m4r.Task(toy, random_features(toy.items["item"]))}
    found = doctest.DocTestFinder(exclude_empty=True).find(import_module(module), extraglobs=given)
    examples = [example for example in found if example.examples]
    if not examples:
        pytest.skip("no examples here")
    (tmp_path / "data_samples").symlink_to(ROOT / "data_samples")
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for example in examples:
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_python_in_documents_runs(block, monkeypatch, tmp_path):
    assert len(block.splitlines()) <= 12
    (tmp_path / "data_samples").symlink_to(ROOT / "data_samples")
    monkeypatch.chdir(tmp_path)
    exec(block, {})
