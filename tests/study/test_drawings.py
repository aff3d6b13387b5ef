"""The series' drawings: nothing overlaps or sticks out, the files are up to date, documents show all of them."""

import re
from pathlib import Path

import nbformat
import pytest
import torch
from typer.testing import CliRunner

from mmm4rec_lite.data.synthetic import DAY
from mmm4rec_lite.models.blocks import StepSize
from mmm4rec_lite.models.config import ModelConfig
from mmm4rec_lite.study.cli.commands import app
from mmm4rec_lite.study.drawings import DRAWINGS, pencil, write_drawings

ROOT = Path(__file__).parents[2]


class Two(torch.nn.Module):
    def forward(self, d):
        return torch.full_like(d, 2)


@pytest.fixture(params=DRAWINGS)
def drawing(request):
    return DRAWINGS[request.param]()


def meet(a, b):
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


def test_no_two_labels_overlap_and_none_sticks_out(drawing):
    places = drawing.labels
    assert [(a, b) for i, (a, p) in enumerate(places) for b, q in places[:i] if meet(p, q)] == []
    inside = lambda p: p.x >= 0 and p.y >= 0 and p.x + p.width <= drawing.width and p.y + p.height <= drawing.height
    assert [label for label, place in places if not inside(place)] == []


def test_it_has_a_title_and_words_for_those_who_do_not_see_it(drawing):
    assert DRAWINGS[drawing.name].__name__ == drawing.name and len(drawing.words.split()) >= 25


def test_the_files_are_those_that_the_command_writes(tmp_path):
    for path in write_drawings(tmp_path):
        kept = ROOT / "docs" / "drawings" / path.name
        assert path.read_text(encoding="utf-8") == kept.read_text(encoding="utf-8"), "mmm4rec-lite drawings"
    assert {path.stem for path in (ROOT / "docs" / "drawings").glob("*")} == set(DRAWINGS)


def test_documents_show_every_drawing_with_an_alternative_text():
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
    shown = dict(re.findall(r"!\[([^\]]+)\]\(drawings/(\w+)\.svg\)", pages))
    assert set(shown.values()) == set(DRAWINGS) and all(len(words) > 15 for words in shown)


def test_the_pencil_computes_what_the_library_does():
    """Its numbers by `StepSize` with weights set by hand: alpha = 2, convolutions of the step itself, b = -2."""
    gaps = [0, DAY, 7 * DAY, 3600]
    step = StepSize(ModelConfig(max_len=4, d_model=8, expand=1, head_dim=8, time_dropout=0)).double()
    for parameter in step.parameters():
        parameter.data.zero_()
    step.bias.data.fill_(-2)
    for conv in (step.conv1, step.conv2):
        conv.weight.data[..., -1] = 1
    step.scale = Two()
    found = pencil(gaps)
    dt, d_hat = step(torch.ones(1, 4, 1, dtype=torch.float64), found["D"].view(1, 1, 4))
    torch.testing.assert_close(dt.flatten(), found["dt"])
    torch.testing.assert_close(d_hat.flatten(), found["D_hat"])
    assert [round(v, 2) for v in found["kept"].tolist()] == [0.78, 0.78, 0.39, 0.79]
    assert found["D"].tolist()[:3] == pytest.approx([0, 0, 1], abs=1e-4)


def test_the_drawing_from_gap_to_mask_has_every_step_of_the_pencil():
    """From D = 1.00 to the step 0.48 one needs D-hat; softplus of D alone, as in exercise 2, is 0.31."""
    labels = [label for label, _ in DRAWINGS["gap_to_mask"]().labels]
    week = {name: f"{values[2]:.2f}" for name, values in pencil([0, 3600, 7 * DAY, DAY]).items() if name != "gap"}
    assert week == {"D": "1.00", "D_hat": "1.50", "dt": "0.48", "kept": "0.39"} and set(week.values()) <= set(labels)
    told = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    assert (
        "softplus(1 · 1.50 - 2) = 0.48" in told
        and f"= {torch.nn.functional.softplus(torch.tensor(-1.0)):.2f} for" in told
    )


def test_the_command_tells_what_it_wrote(tmp_path):
    result = CliRunner().invoke(app, ["drawings", "--out", str(tmp_path)])
    assert result.exit_code == 0 and result.stdout.split() == [str(tmp_path / f"{name}.svg") for name in DRAWINGS]


def test_notebooks_show_the_drawings_as_they_are():
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            if name := re.fullmatch(r"drawings\.(\w+)\(\)", cell.source.strip()):
                assert cell.outputs[0]["data"]["image/svg+xml"] == DRAWINGS[name[1]]().svg(), path.name
