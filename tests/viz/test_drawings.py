"""Drawings: files that XML readers accept, both themes, labels with marks, arrows that end at their boxes."""

import re
from xml.etree import ElementTree

import pytest

from mmm4rec_lite.viz.drawings import DARK, KINDS, LIGHT, Drawing

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def drawing():
    return Drawing("one", "A title", "What it shows & for whom", 200, 100)


def texts(drawing):
    tree = ElementTree.fromstring(drawing.svg())
    return tree, ["".join(node.itertext()) for node in tree.iter(f"{SVG}text")]


def test_a_file_has_a_title_words_and_both_themes(drawing):
    tree, found = texts(drawing)
    assert found == ["A title"] and tree.get("viewBox") == "0 0 200 100" and tree.get("role") == "img"
    assert tree.findtext(f"{SVG}title") == "A title" and tree.findtext(f"{SVG}desc") == "What it shows & for whom"
    style = tree.findtext(f"{SVG}style")
    assert "prefers-color-scheme:dark" in style and LIGHT["paper"] in style and DARK["paper"] in style
    assert all(f".fill-{kind}" in style and f"--{kind}-fill" in style for kind in KINDS)


def test_a_notebook_gets_the_picture_and_its_alternative_text(drawing):
    data, metadata = drawing._repr_mimebundle_()
    assert data["image/svg+xml"] == drawing.svg() and data["text/plain"] == "A title: What it shows & for whom"
    assert metadata == {"image/svg+xml": {"alt": "A title: What it shows & for whom"}}


def test_a_part_shows_what_lies_between_two_heights(drawing):
    part = drawing.part(20, 60)
    assert 'viewBox="0 20 200 40" width="200" height="40"' in part.svg() and 'viewBox="0 0 200 100"' in drawing.svg()


def test_marks_move_letters_and_code_has_none(drawing):
    drawing.text(50, 50, "a_{ts} of P^v")
    drawing.text(50, 80, "leave_one_out", code=True)
    tree, found = texts(drawing)
    assert found[1:] == ["ats of Pv", "leave_one_out"]
    moved = [float(span.get("dy")) for span in tree.iter(f"{SVG}tspan")]
    assert moved[-1] < 0 and sum(moved[1:3]) == pytest.approx(moved[1] + moved[2])  # up for the superscript
    assert sum(float(span.get("dy")) for span in list(tree.iter(f"{SVG}tspan"))[1:4]) == pytest.approx(0)  # and back


def test_an_arrow_ends_where_it_is_told(drawing):
    box = drawing.box(100, 40, 50, 20, "a box")
    drawing.arrow((10, 50), box.left())
    assert (
        box.left() == (100, 50) and box.top() == (125, 40) and box.bottom(0) == (100, 60) and box.right(1) == (150, 60)
    )
    head = re.search(r'<path d="M([\d.]+) ([\d.]+)', drawing.svg())
    assert (float(head[1]), float(head[2])) == (100, 50)


def test_a_faint_box_has_no_fill_and_a_shaded_one_its_colour(drawing):
    drawing.box(10, 40, 20, 20, faint=True)
    assert drawing.svg().count('rx="5" fill="none"/>') == 1
    drawing.box(40, 40, 20, 20, kind="time", shade=0.5)
    assert 'class="solid-time" opacity="0.300"' in drawing.svg()
