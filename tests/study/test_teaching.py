"""Exercises: blanks are their solutions less what is marked; checks accept what is right and name usual mistakes."""

import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from mmm4rec_lite import viz
from mmm4rec_lite.analysis import reasons
from mmm4rec_lite.study import ch13_own_shop as ch13
from mmm4rec_lite.study import teaching
from mmm4rec_lite.study.pages import slide_stops
from mmm4rec_lite.utils.errors import InputError

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks" / "teaching"
PAIRS = [(path, FOLDER / path.name.replace("solution", "exercise")) for path in FOLDER.glob("solutions/*.ipynb")]


def checks(path):
    """What the check cells of a notebook print, as stored."""
    cells = nbformat.read(path, 4).cells
    return [cell.outputs[0].text for cell in cells if cell.source.startswith("print(teaching.check(")]


@pytest.mark.parametrize("solution, exercise", PAIRS, ids=lambda path: path.stem)
def test_an_exercise_is_its_solution_with_blanks(solution, exercise):
    made, kept = teaching.blanked(nbformat.read(solution, 4)), nbformat.read(exercise, 4)
    assert [cell.source for cell in made.cells] == [cell.source for cell in kept.cells]
    text = "".join(cell.source for cell in kept.cells)
    assert "# solution" not in text and text.count(teaching.BLANK) > 2 and "## Answers" not in text
    assert re.findall(r"\]\(([^)]+)", text) and all(
        (FOLDER / link).exists() for link in re.findall(r"\]\(([\w./]+ipynb)", text)
    )


@pytest.mark.parametrize("solution, exercise", PAIRS, ids=lambda path: path.stem)
def test_solutions_are_right_and_blanks_are_not_yet(solution, exercise):
    right, blank = checks(solution), checks(exercise)
    assert len(right) == len(blank) >= 3
    assert all(told.startswith("Right: ") for told in right) and all(told.startswith("Not yet. ") for told in blank)


def test_every_exercise_stands_in_one_notebook():
    cells = [cell.source for path, _ in PAIRS for cell in nbformat.read(path, 4).cells]
    asked = re.findall(r'^print\(teaching.check\("(\w+)"', "\n".join(cells), re.MULTILINE)
    assert sorted(asked) == sorted(teaching.EXERCISES)


@pytest.mark.parametrize("name", teaching.EXERCISES)
def test_a_check_accepts_what_is_right_and_names_each_mistake(name):
    task = teaching.EXERCISES[name]
    assert teaching.check(name, task.right).startswith("Right: ")
    for words, wrong in task.mistakes.items():
        assert teaching.check(name, wrong).endswith(f"Perhaps: {words}."), words


def test_a_check_tells_what_came_out_whatever_came_out():
    assert "gives nothing back" in teaching.check("scan", lambda x, a: None)
    assert "stops with ZeroDivisionError: division by zero" in teaching.check("scan", lambda x, a: 1 / 0)
    told = teaching.check("scan", lambda x, a: [0.0] * len(x))
    assert "scan([1, 2, 3], 0.5) is [0. 0. 0.], and should be [1.   2.5  4.25]." in told and "Perhaps" not in told
    assert "is [1.], and should" in teaching.check("scan", lambda x, a: [1.0])
    assert "is 'yes', and should be" in teaching.check("scan", lambda x, a: "yes")
    assert "is 'yes', and should be 'supported'" in teaching.check("verdict", lambda difference, error: "yes")
    with pytest.raises(InputError, match="'nothing' is no exercise; one of scan, "):
        teaching.check("nothing", len)


def test_a_figure_for_a_slide_has_larger_letters_and_its_words():
    figure = viz.strip(pd.DataFrame({"item": ["x", "y"], "title": ["Lamp", "Mug"], "image": [None, None]}), title="two")
    before = figure.get_size_inches()
    assert teaching.on_slide(figure, 0.5) is figure and figure.get_size_inches() == pytest.approx(before / 2)
    assert figure.dpi == 200 and "x: Lamp (no picture) | x: Mug (no picture)" in viz.style.described(figure)


def test_the_lecture_names_every_recommendation_in_words():
    cells = nbformat.read(FOLDER / "lecture.ipynb", 4).cells
    shown = next(cell for cell in cells if "m4r.recommend(" in cell.source).outputs[0].metadata["image/png"]["alt"]
    assert shown.count("x: ") == 6 and "x: Saffron envelopes (no picture)" in shown


def test_the_lecture_tells_the_numbers_that_are_measured():
    done, task = ch13.trained()
    found = reasons(done.model, task, "C001")
    text = "".join(cell.source for cell in nbformat.read(FOLDER / "lecture.ipynb", 4).cells)
    past = found.history.sort_values("effect", ascending=False)
    assert past["title"].tolist()[:3] == ["Saffron ink bottle", "Saffron letter paper", "Saffron fountain pen"]
    assert (
        f"The ink bottle ({past['effect'].max():.2f}), before the letter paper ({past['effect'].iloc[1]:.2f})" in text
    )
    old = past["effect"][past["days_before"] > 7]
    assert (
        f"({old.min():.2f} to {old.max():.2f})" in text and f"yet {found.parts['image']:.2f} from the picture" in text
    )
    items = task.dataset.items.set_index("title")
    assert items.loc[found.title, "image"] is None or pd.isna(items.loc[found.title, "image"])
    assert f"so {found.candidates} are ranked" in text


def test_the_lecture_has_the_slides_that_the_instructors_page_times():
    notebook = nbformat.read(FOLDER / "lecture.ipynb", 4)
    shown, stops = slide_stops(notebook)
    begins = sorted({begin for begin, _ in stops})
    titles = [re.search(r"^## (\d+)\. ", shown.cells[i].source, re.MULTILINE) for i in begins]
    numbers = [int(title[1]) for title in titles if title]
    table = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    timed = re.findall(r"^\| (\d+) to (\d+) \| (\d+) ", table, re.MULTILINE)
    assert [int(number) for *_, number in timed] == numbers == list(range(1, 13))
    ends = [0, *(int(end) for _, end, _ in timed)]
    assert [int(begin) for begin, *_ in timed] == ends[:-1] and ends[-1] == 45
    assert "**Answers.**" not in "".join(cell.source for cell in shown.cells)  # the teacher's notes
