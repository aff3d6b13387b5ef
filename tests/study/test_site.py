"""Executed notebooks and the site: pages with maths and pictures inside, nothing from the network."""

import base64
import html
import io
import re
from pathlib import Path

import matplotlib
import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from typer.testing import CliRunner

from mmm4rec_lite.study import site
from mmm4rec_lite.study.cli.commands import app
from mmm4rec_lite.utils.errors import InputError

PROSE = r"""# 07 Steps & masks

**Aim.** A first *paragraph* that sums it up (arXiv 2506.02916). What else it says stands on the page.

With $x_1 < 2$ inline, `cost = "$3 or $4"` in code and

$$y = \sum_{k=1}^{t} \Delta_k, \quad A < 0$$

displayed, and [a link](https://arxiv.org/abs/2506.02916). See [the next](08.ipynb) and [a part](08.ipynb#b).

```
echo $HOME and $$ and $PATH
```
"""


@pytest.fixture
def png():
    file = io.BytesIO()
    Image.new("RGB", (5, 4), "red").save(file, format="png")
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture
def pages(png, tmp_path):
    """(index, page) of a notebook with all that notebooks have, and of a second one with prose alone."""
    picture = new_output("display_data", {"image/png": png + "\n", "text/plain": "<Figure>"})
    words = new_output("execute_result", {"text/plain": "'$5 to $6'"}, execution_count=1)
    cells = [new_markdown_cell(PROSE), new_code_cell("price = '$1 $2'", execution_count=1, outputs=[words, picture])]
    nbformat.write(new_notebook(cells=cells), tmp_path / "07_masks.ipynb")
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Other\n\nWords.")]), tmp_path / "08.ipynb")
    index = site.render([tmp_path / "07_masks.ipynb", tmp_path / "08.ipynb"], tmp_path / "site")
    assert sorted(file.name for file in index.parent.iterdir()) == ["07_masks.html", "08.html", "index.html"]
    return index.read_text(encoding="utf-8"), (tmp_path / "site" / "07_masks.html").read_text(encoding="utf-8")


def text_of(page):
    """The words of a page without tags, styles and scripts."""
    body = re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]*>", "", body))


def test_the_index_shows_title_summary_and_picture_of_each_notebook(pages, png):
    index, _ = pages
    first, second = re.findall(r"<li>.*?</li>", index, flags=re.DOTALL)
    assert 'href="07_masks.html"' in first and "<h2>07 Steps &amp; masks</h2>" in first
    assert "<p>A first paragraph that sums it up (arXiv 2506.02916).</p>" in first
    assert f'src="data:image/png;base64,{png}"' in first
    assert 'href="08.html"' in second and "<h2>Other</h2>" in second and "Words." in second and "<img" not in second


def test_chapters_lead_to_each_other(pages, tmp_path):
    _, page = pages
    links = re.findall(r'<a[^>]* href="([^"#]*)[^>]*>', page)
    assert [link for link in links if link.endswith(".html")] == ["index.html", "08.html", "08.html", "08.html"]
    assert 'href="08.html#b"' in page and ".ipynb" not in page
    (nav,) = re.findall("<nav.*?</nav>", (tmp_path / "site" / "08.html").read_text(encoding="utf-8"))
    assert text_of(nav) == f"All chapters Before: 07 Steps & masks {site.STORED}"


def test_pages_that_stand_alone_get_a_copy_and_the_last_cards(png, tmp_path):
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Other")]), tmp_path / "08.ipynb")
    alone = [tmp_path / "decay_mask.html", tmp_path / "live.html"]
    for path in alone:
        path.write_text("<title>it</title>")
    index = site.render([tmp_path / "08.ipynb"], tmp_path / "site", alone)
    chapter, card, live = re.findall(r"<li>.*?</li>", index.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert 'href="08.html"' in chapter and 'href="decay_mask.html"' in card
    assert 'src="data:image/png;base64,iVBOR' in card and 'href="live.html"' in live and "alive" in live
    assert all((tmp_path / "site" / path.name).read_text() == "<title>it</title>" for path in alone)
    assert "decay_mask.html" not in (tmp_path / "site" / "08.html").read_text(encoding="utf-8")


def test_pages_and_cards_say_where_their_outputs_come_from(book, tmp_path, monkeypatch):
    """And pages change one by one."""
    path, keep, out = book("1"), tmp_path / "keep", tmp_path / "site"
    other = path.with_name("two.ipynb")
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Two")]), other)
    monkeypatch.setattr(site, "execute", lambda path: nbformat.read(path, 4))
    assert site.latest(path, keep) == path
    index = site.render([path, other], out)
    page, untouched = (out / "one.html").read_text(encoding="utf-8"), (out / "two.html").stat().st_mtime_ns
    assert site.STORED in page and "0 of\n2 computed" in index.read_text(encoding="utf-8")
    site.render([site.executed(path, keep), other], out, only=["one"])
    page, cards = (file.read_text(encoding="utf-8") for file in (out / "one.html", index))
    assert site.COMPUTED in page and site.STORED not in page and "1 of\n2 computed" in cards
    assert cards.index(site.COMPUTED) < cards.index(site.STORED)
    assert (out / "two.html").stat().st_mtime_ns == untouched
    assert site.latest(path, keep) == keep / "one.ipynb"
    book("2")
    assert site.latest(path, keep) == path


def test_maths_becomes_mathml_and_dollars_in_code_stay(pages):
    _, page = pages
    maths = re.findall(r"<math.*?</math>", page, flags=re.DOTALL)
    assert len(maths) == 2 and [m.count('display="block"') for m in maths] == [0, 1]
    assert "<msub>" in maths[0] and "&lt;" in maths[0] and "∑" in html.unescape(maths[1])
    text = text_of(page)
    for code in ('cost = "$3 or $4"', "echo $HOME and $$ and $PATH", "price = '$1 $2'", "'$5 to $6'"):
        assert code in text, code
    assert "\\sum" not in text and "x_1" not in text


def test_pages_load_nothing_from_the_network(pages, png):
    for page in pages:
        sources = re.findall(r"""<(?:script|img|iframe|source|embed)\b[^>]*?\bsrc=["']?([^"'>\s]*)""", page)
        sources += re.findall(r"""<link\b[^>]*?\bhref=["']?([^"'>\s]*)""", page)
        sources += re.findall(r"""url\(\s*["']?([^"')\s]*)""", page) + re.findall(r"""@import\s+["']([^"']*)""", page)
        assert [s for s in sources if not s.startswith(("data:", "#")) and s != ""] == []
        assert f"data:image/png;base64,{png}" in page.replace("\n", "")
    assert 'href="https://arxiv.org/abs/2506.02916"' in pages[1]


# --- execution ---


@pytest.fixture
def book(tmp_path):
    """A function (code, ...) -> the path of a notebook without outputs, in a folder of its own."""

    def write(*codes):
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        cells = [new_markdown_cell("# One"), *map(new_code_cell, codes)]
        nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / "one.ipynb")
        return tmp_path / "notebooks" / "one.ipynb"

    return write


def test_a_notebook_is_executed_once_until_it_or_the_library_changes(book, tmp_path, monkeypatch):
    path, keep = book("import pathlib", "pathlib.Path.cwd().name"), tmp_path / "keep"
    before, runs = path.read_bytes(), []
    copy = site.executed(path, keep)
    cells = nbformat.read(copy, 4).cells
    assert copy == keep / "one.ipynb" and path.read_bytes() == before
    assert [cell.execution_count for cell in cells[1:]] == [1, 2]
    assert cells[2].outputs[0].data["text/plain"] == "'notebooks'"  # runs where it lies

    def stub(path):
        runs.append(path)
        return nbformat.read(path, 4)

    monkeypatch.setattr(site, "execute", stub)
    assert site.executed(path, keep) == copy and runs == []
    book("import pathlib", "2")
    site.executed(path, keep), site.executed(path, keep)
    assert runs == [path] and nbformat.read(copy, 4).cells[2].source == "2"
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "site.py").write_text("changed = True")
    monkeypatch.setattr(site, "LIBRARY", tmp_path / "library")
    site.executed(path, keep), site.executed(path, keep)
    assert runs == [path, path]
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    (tmp_path / "benchmarks" / "results" / "runs.csv").write_text("a stored result")
    site.executed(path, keep), site.executed(path, keep)
    assert len(runs) == 3
    (tmp_path / "7.jpg").touch()
    for name, value in (("MMM4REC_POSTERS", str(tmp_path)), ("MMM4REC_SCALE", "full")):
        monkeypatch.setenv(name, value)
        before = len(runs)
        site.executed(path, keep), site.executed(path, keep)
        assert len(runs) == before + 1


def test_a_widget_leaves_what_it_shows_without_a_kernel(book, png):
    shown = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "a map", "image/png": png}
    (output,) = site.execute(book(f"from IPython.display import display\ndisplay({shown}, raw=True)")).cells[1].outputs
    assert set(output.data) == {"text/plain", "image/png"}


def encoded(picture):
    file = io.BytesIO()
    picture.save(file, format="png", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


def decoded(png):
    return Image.open(io.BytesIO(base64.b64decode(png)))


def test_a_plots_picture_takes_less_room_and_keeps_its_colours(book):
    """A colour bar of 240 colours, a large patch of another and a small one of black."""
    ramp = (255 * matplotlib.colormaps["viridis"](np.linspace(0, 1, 240))[:, :3]).round().astype(np.uint8)
    pixels = np.full((240, 400, 3), 255, np.uint8)
    pixels[:, :20], pixels[50:150, 100:200], pixels[200:210, 300:310] = ramp[:, None], (213, 94, 0), (0, 0, 0)
    given = encoded(Image.fromarray(pixels).convert("RGBA"))
    shown = {"text/plain": "a plot", "image/png": given}
    (output,) = site.execute(book(f"from IPython.display import display\ndisplay({shown}, raw=True)")).cells[1].outputs
    kept = decoded(output.data["image/png"])
    assert len(output.data["image/png"]) < len(given) and kept.mode == "P"
    np.testing.assert_array_equal(kept.convert("RGB"), pixels)


def test_edges_of_crossing_lines_take_less_room_and_hardly_move():
    """A few pixels of every shade between five colours and white, beside a large grey ramp: a palette by frequency
    misses them."""
    five = np.array([(1, 115, 178), (222, 143, 5), (2, 158, 115), (213, 94, 0), (204, 120, 188)])
    pixels, fade = np.full((400, 200, 3), 255, np.uint8), np.linspace(0, 1, 40)[:, None]
    pixels[300:] = np.linspace(0, 255, 200).astype(np.uint8)[:, None]
    for i, j in np.ndindex(5, 5):
        end = five[j] if i != j else 255
        pixels[40 * i : 40 * i + 40, 8 * j] = (fade * end + (1 - fade) * five[i]).round()
    given = encoded(Image.fromarray(pixels))
    kept = site.smaller(given)
    moved = np.abs(np.asarray(decoded(kept).convert("RGB"), int) - pixels).max()
    assert decoded(kept).mode == "P" and len(kept) < len(given) and moved <= site.MOVED


def test_many_colours_all_stay():
    """Smooth red, green and blue ramps: more colours than a palette can come close to."""
    x, y = np.meshgrid(np.arange(256), np.arange(200))
    pixels = np.stack([x, y, 255 - (x + y) // 2], -1).astype(np.uint8)
    kept = site.smaller(encoded(Image.fromarray(pixels)))
    np.testing.assert_array_equal(decoded(kept), pixels)


def test_transparent_and_already_small_pictures_stay():
    glass = Image.new("RGB", (200, 200), "red")
    glass.putalpha(128)
    flat = Image.new("RGB", (50, 40), "red").quantize()
    file = io.BytesIO()
    flat.save(file, format="png", optimize=True)
    for given in (encoded(glass), base64.b64encode(file.getvalue()).decode()):
        assert site.smaller(given) == given


def test_the_command_notebooks_writes_outputs_in_place_without_bars_and_times_of_day(book):
    path = book("from tqdm.auto import tqdm\nfor _ in tqdm(range(3)):\n    pass", "6 * 7")
    result = CliRunner().invoke(app, ["notebooks", str(path)], catch_exceptions=False)
    assert result.exit_code == 0
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    bar, answer = notebook.cells[1:]
    assert answer.outputs[0].data["text/plain"] == "42" and answer.execution_count == 2
    assert bar.outputs == [] and "widgets" not in notebook.metadata
    assert not any("execution" in cell.metadata for cell in notebook.cells)
    assert [file.name for file in path.parent.iterdir()] == ["one.ipynb"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "code, told",
    [
        ("raise ValueError('first line\\nsecond')", "ValueError: first line"),
        ("assert False", "AssertionError"),  # an error without a message
        ("import time; time.sleep(60)", ""),  # longer than CELL_SECONDS
        ("import os; os._exit(1)", ""),  # the kernel dies
    ],
)
def test_a_failing_notebook_is_named_in_one_line_and_leaves_no_file(book, tmp_path, monkeypatch, code, told):
    monkeypatch.setattr(site, "CELL_SECONDS", 3)
    path = book("1 + 1", code)
    before = path.read_bytes()
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: [^\\n]*$") as error:
        site.executed(path, tmp_path / "keep")
    assert told in str(error.value) and path.read_bytes() == before
    assert not list(Path(tmp_path / "keep").glob("*"))


# --- what pages have besides their notebooks ---


def test_a_page_lists_its_sections_and_numbers_its_figures(png, tmp_path):
    shown = new_output("display_data", {"image/png": png, "text/plain": "<Figure>"})
    described = new_output("display_data", {"image/png": png}, metadata={"image/png": {"alt": "Loss | x: epoch"}})
    cells = [new_markdown_cell("# T"), new_markdown_cell("## 1. One"), new_code_cell("1", outputs=[shown])]
    cells += [new_markdown_cell("## 2. Two"), new_code_cell("2", outputs=[described]), new_markdown_cell("## Summary")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "01.ipynb")
    site.render([tmp_path / "01.ipynb"], tmp_path / "site")
    page = (tmp_path / "site" / "01.html").read_text(encoding="utf-8")
    listed = re.findall(r'<li><a href="#(.*?)">(.*?)</a>', page)
    assert listed == [("1.-One", "One"), ("2.-Two", "Two"), ("Summary", "Summary")]
    assert all(f'id="{anchor}"' in page for anchor, _ in listed)
    assert re.findall("<figcaption>(.*?)</figcaption>", page) == ["Figure 1. One", "Figure 2. Loss"]
    assert 'alt="Figure: One"' in page and 'alt="Loss | x: epoch"' in page and "No description" not in page
    assert "prefers-color-scheme: dark" in page


def test_a_figure_with_its_own_caption_gets_no_second_one_and_drawings_have_words(png, tmp_path):
    shown = new_output("display_data", {"image/png": png}, metadata={"image/png": {"alt": "Loss"}})
    drawing = new_output("display_data", {"image/svg+xml": "<svg/>"}, metadata={"image/svg+xml": {"alt": "A & B"}})
    caption = new_markdown_cell("**Figure 1.** What is drawn. *Scale: none.*")
    cells = [new_markdown_cell("# T"), new_code_cell("1", outputs=[drawing]), caption]
    cells += [new_code_cell("2", outputs=[shown]), new_markdown_cell("Prose")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "01.ipynb")
    site.render([tmp_path / "01.ipynb"], tmp_path / "site")
    page = (tmp_path / "site" / "01.html").read_text(encoding="utf-8")
    assert "<p class='caption'><strong>Figure 1.</strong> What is drawn." in page
    assert re.findall("<figcaption>(.*?)</figcaption>", page) == ["Figure 1. Loss"]
    assert '<img alt="A &amp; B" src="data:image/svg+xml;base64,' in page


def test_learning_paths_name_pages_that_are_there(tmp_path):
    for name in ("00_quickstart", "13_own_shop"):
        nbformat.write(new_notebook(cells=[new_markdown_cell(f"# {name}")]), tmp_path / f"{name}.ipynb")
    (tmp_path / "glossary.md").write_text(
        "# Glossary\n\nSee [this](../notebooks/13_own_shop.ipynb#x), [that](data.md)."
    )
    index = site.render([*tmp_path.glob("*.ipynb")], tmp_path / "site", documents=[tmp_path / "glossary.md"])
    paths = re.search("<nav.*?</nav>", index.read_text(encoding="utf-8"), re.DOTALL).group()
    assert re.findall('href="(.*?)"', paths) == ["00_quickstart.html", "glossary.html", "13_own_shop.html"]
    page = (tmp_path / "site" / "glossary.html").read_text(encoding="utf-8")
    assert 'href="13_own_shop.html#x"' in page and "data.md" not in page and "that." in text_of(page)


@pytest.mark.slow
def test_the_claims_come_first_and_lead_to_their_cells(tmp_path):
    notebooks = sorted((Path(__file__).parents[2] / "notebooks").glob("0[6-9]*.ipynb"))
    index = site.render(notebooks, tmp_path, claims=True).read_text(encoding="utf-8")
    assert 'href="claims.html"' in re.findall(r"<li>.*?</li>", index[index.index("<main") :], flags=re.DOTALL)[0]
    page = (tmp_path / "claims.html").read_text(encoding="utf-8")
    first, second = page.split("What runs say", 1)
    assert second.count("<tr>") == 24 and "MMM4Rec 0.0724, best rival MISSRec 0.0753" in second
    assert "dead-branch" in first and 'href="10_audit.html"' in first and "6 contradicted" in first
    for name, cell in re.findall(r'href="(\w+)\.html#(cell-id=[\w-]+)"', page):
        if (target := tmp_path / f"{name}.html").is_file():
            assert f'id="{cell}"' in target.read_text(encoding="utf-8")


def test_slides_leave_out_what_is_told_so_and_begin_where_they_should(tmp_path):
    kind = lambda word: {"slideshow": {"slide_type": word}}
    cells = [("# One", "slide"), ("more", "-"), ("for the teacher", "notes"), ("## Two", "slide"), ("not here", "skip")]
    cells += [("an answer", "fragment"), ("and more", "-")]
    made = [new_markdown_cell(text, metadata=kind(word)) for text, word in cells]
    nbformat.write(new_notebook(cells=made), tmp_path / "talk.ipynb")
    index = site.render([tmp_path / "talk.ipynb"], tmp_path / "site").read_text(encoding="utf-8")
    page = (tmp_path / "site" / "talk_slides.html").read_text(encoding="utf-8")
    assert "const stops = [[0, 2], [2, 3], [2, 5]]" in page and "more" in page and "for the teacher" not in page
    assert "not here" not in page and 'href="talk_slides.html"' in index


def test_slides_that_stand_alone_link_to_no_page_of_the_site(tmp_path):
    told = new_markdown_cell("# One\n\nNext: [two](two.ipynb) and [more](https://example.org).")
    told.metadata["slideshow"] = {"slide_type": "slide"}
    nbformat.write(new_notebook(cells=[told]), tmp_path / "talk.ipynb")
    site.slides(tmp_path / "talk.ipynb", tmp_path / "slides.html")
    alone = (tmp_path / "slides.html").read_text(encoding="utf-8")
    assert "Next: two and" in alone and "All chapters" not in alone and 'href="https://example.org"' in alone
    site.render([tmp_path / "talk.ipynb"], tmp_path / "site")
    page = (tmp_path / "site" / "talk_slides.html").read_text(encoding="utf-8")
    assert 'href="two.html"' in page and '<a href="index.html">All chapters</a>' in page


def test_launch_links_need_a_repository(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "one.ipynb").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(site.pages, "workspace", lambda: tmp_path)
    (tmp_path / "CITATION.cff").write_text("title: x\n")
    assert site.pages.launch_links("one") == ""
    (tmp_path / "CITATION.cff").write_text('repository-code: "https://github.com/you/kit"\n')
    links = re.findall('href="(.*?)"', site.pages.launch_links("one"))
    assert links[0] == "https://mybinder.org/v2/gh/you/kit/HEAD?labpath=notebooks/one.ipynb"
    assert links[1] == "https://colab.research.google.com/github/you/kit/blob/HEAD/notebooks/one.ipynb"
    assert site.pages.launch_links("two") == ""


@pytest.mark.parametrize(
    "content", [b"\xc8\xff", b"user,item\n", b"{}", b"[]", b'{"cells": 3, "nbformat": 4}', b"[" * 10**5]
)
def test_what_is_no_notebook_is_told_in_one_line(tmp_path, content):
    (tmp_path / "a.ipynb").write_bytes(content)
    for use in (
        lambda: site.slides(tmp_path / "a.ipynb", tmp_path / "s.html"),
        lambda: site.execute(tmp_path / "a.ipynb"),
    ):
        with pytest.raises(InputError, match=r"a.ipynb: no notebook that can be read \([^\n]+\)"):
            use()
    with pytest.raises(InputError, match="no notebook that can be read"):
        site.slides(tmp_path / "nowhere.ipynb", tmp_path / "s.html")
