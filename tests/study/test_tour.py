"""The tour: a site at once from stored outputs, then page by page from this machine; it goes on after a kill."""

import json
import re
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from mmm4rec_lite.runs import Task, run
from mmm4rec_lite.study import site, tour
from mmm4rec_lite.study.protocol import presets
from mmm4rec_lite.utils.errors import InputError

QUICKSTART = tour._quickstart


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with two notebooks, where nothing is trained and executing is copying."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "decay_mask.html").write_text("<title>it</title>")
    for name in ("one", "two"):
        nbformat.write(new_notebook(cells=[new_markdown_cell(f"# {name}")]), tmp_path / "notebooks" / f"{name}.ipynb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tour, "_quickstart", lambda step, page: None)
    monkeypatch.setattr(site, "execute", lambda path: nbformat.read(path, 4))
    return tmp_path


def origins(project):
    """Name -> whether the page shows what this machine computed."""
    pages = {name: (project / "site" / f"{name}.html").read_text(encoding="utf-8") for name in ("one", "two")}
    return {name: site.COMPUTED in page for name, page in pages.items()}


def test_the_site_is_there_before_anything_is_computed_and_pages_follow_one_by_one(project, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(tour, "_quickstart", lambda step, page: seen.append(origins(project)))
    run = site.execute
    monkeypatch.setattr(site, "execute", lambda path: seen.append(origins(project)) or run(path))
    tour.tour()
    assert seen == [{"one": False, "two": False}, {"one": False, "two": False}, {"one": True, "two": False}]
    assert origins(project) == {"one": True, "two": True} and (project / "site" / "decay_mask.html").is_file()
    told = capsys.readouterr().out
    assert told.count((project / "site" / "index.html").as_uri()) == 2 and "stored" in told.partition("index.html")[0]


@pytest.mark.slow
def test_the_first_pages_do_not_wait_for_torch():
    command = "import sys, mmm4rec_lite.study.cli.commands, mmm4rec_lite.study.tour; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command]).returncode == 0


def test_killed_and_called_again_it_goes_on(project, monkeypatch):
    def killed(path):
        if path.stem == "two":
            raise KeyboardInterrupt
        return nbformat.read(path, 4)

    monkeypatch.setattr(site, "execute", killed)
    with pytest.raises(KeyboardInterrupt):
        tour.tour()
    began, runs = [], []
    monkeypatch.setattr(tour, "_quickstart", lambda step, page: began.append(origins(project)))
    monkeypatch.setattr(site, "execute", lambda path: runs.append(path.stem) or nbformat.read(path, 4))
    tour.tour()
    assert began == [{"one": True, "two": False}] and runs == ["two"]


def test_the_page_of_the_model_that_it_trained_is_written_and_stands_in_the_site(
    project, toy, random_features, monkeypatch
):
    """The quickstart on the toy's mugs, one epoch, in place of the films."""
    rows, target = random_features(toy.items["item"]), toy.select("mugs")
    sizes = dict(d_model=16, d_ff=16, d_state=4, head_dim=8, max_len=8)
    done = run(Task(target, rows), "mmm4rec+id", out=project / "run", epochs=1, progress=False, **sizes)
    stand_ins = dict(
        dataset=lambda: toy, features=lambda films: rows, pretrained=lambda films, rows: done, TARGET="mugs"
    )
    stand_ins |= dict(finetuned=lambda *given: done, comparison=lambda *given: done.history)
    for name, value in stand_ins.items():
        monkeypatch.setattr(presets, name, value)
    monkeypatch.setattr(tour, "_quickstart", QUICKSTART)
    tour.tour()
    page = (project / "site" / "live_films.html").read_text(encoding="utf-8")
    assert json.loads(re.search(r'id="data">(.*?)</script>', page)[1])["about"]["date"] == done.record["date"]
    assert 'href="live_films.html"' in (project / "site" / "index.html").read_text(encoding="utf-8")


def test_without_notebooks_it_says_so_and_makes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for make in (tour.tour, tour.stored_site):
        with pytest.raises(InputError, match="no notebooks here"):
            make()
    assert list(tmp_path.iterdir()) == []
