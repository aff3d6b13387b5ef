"""The model of notebook 12, read from its cells, is the library's: users, scores, losses and gradients in float64."""

import ast
from pathlib import Path

import nbformat
import pytest
import torch

from mmm4rec_lite.data import batch
from mmm4rec_lite.models.config import ModelConfig
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.study import ch12_from_an_empty_file as ch12
from tests.support.figures import drawn

PAGE = Path(__file__).parents[2] / "notebooks" / "12_from_an_empty_file.ipynb"
WRITTEN = ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom


@pytest.fixture(scope="module")
def page():
    """What the page defines; nothing else of it runs."""
    cells = (cell.source for cell in nbformat.read(PAGE, 4).cells if cell.cell_type == "code")
    nodes = (node for cell in cells for node in ast.parse(cell).body)
    body = [node for node in nodes if isinstance(node, WRITTEN) and getattr(node, "name", "") != "score"]
    names = {}
    exec(compile(ast.Module(body, []), PAGE.name, "exec"), names)
    return names


SIZES = {
    "as it is": {},
    "two layers, two groups": dict(n_layers=2, n_groups=2, d_state=8),
    "narrow": dict(d_conv=1, max_len=7, head_dim=8, d_model=16, d_ff=24, expand=4),
    "a short window": dict(max_len=5, d_conv=3),
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_it_equals_the_library(page, toy_split, sizes):
    config = ModelConfig(gap_vector=False, **sizes)
    one = batch(toy_split.sequences, toy_split.test[:6], config.max_len)
    torch.manual_seed(1)
    image, text = torch.randn(61, 12, dtype=torch.float64), torch.randn(61, 10, dtype=torch.float64)
    library, own = MMM4Rec(config, image, text), page["MMM4Rec"](config, image, text)
    with torch.no_grad():
        library.bias_text.normal_(), library.times.log_mean.fill_(8)
    own.load_state_dict(library.state_dict())
    assert all(value < 1e-10 for value in ch12.differences(own, library, one).values())


def test_it_is_about_150_lines(page):
    cells = (cell.source for cell in nbformat.read(PAGE, 4).cells if cell.cell_type == "code")
    written = [cell for cell in cells if cell.startswith(("def ssd", "class "))]
    assert 130 <= sum(bool(line.strip()) for cell in written for line in cell.splitlines()) <= 170


def test_shapes_and_sizes_are_told(capsys, page):
    ch12.shapes(x=torch.ones(2, 3), longer=torch.ones(4))
    assert capsys.readouterr().out == "x       [2, 3]\nlonger  [4]\n"
    own = page["MMM4Rec"](ModelConfig(gap_vector=False), torch.randn(5, 12), torch.randn(5, 10))
    parts = ch12.sizes(own)
    assert sum(parts.values()) == sum(p.numel() for p in own.parameters())
    assert parts["adapters"] == 64 * (12 + 1) + 64 * (10 + 1) and parts["item tables"] == 2 * 5 * 64


def test_a_difference_is_seen(page, toy_split):
    config = ModelConfig(gap_vector=False)
    image, text = torch.randn(61, 12), torch.randn(61, 10)
    own, other = page["MMM4Rec"](config, image, text), MMM4Rec(config, image, text)
    one = batch(toy_split.sequences, toy_split.test[:6], config.max_len)
    assert all(value > 1e-3 for value in ch12.differences(own, other, one).values())


def test_the_loss_by_epoch():
    (axis,) = drawn(ch12.plot_loss([3.0, 2.0, 1.0, 0.5], 2, "title"))
    assert axis.lines[0].get_xdata().tolist() == [0.5, 1.0, 1.5, 2.0] and "epochs" in axis.get_xlabel()
