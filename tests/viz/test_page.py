"""The stand-alone explorer's file; what it does in a browser is in test_browser.py."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from mmm4rec_lite.analysis import capture_scans
from mmm4rec_lite.data import Dataset, load_dataset
from mmm4rec_lite.evaluation import as_batch, user_history
from mmm4rec_lite.models.config import ModelConfig
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.runs import Run, Task, run
from mmm4rec_lite.study.cli.commands import app
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.explorers.page import MAX_ITEMS, SHOWN, histories, write_page
from mmm4rec_lite.viz.live.export import first_users
from tests.support import toy as make_toy

ROOT = Path(__file__).parents[2]
STORE = ROOT / "data_samples" / "store"
ONE = {"name": "one", "titles": ["a", "b"], "gaps": [0, 60], "pictures": [None, None]}


@pytest.fixture(scope="module")
def store():
    return load_dataset(STORE)


def test_the_committed_page_is_what_the_command_writes(tmp_path):
    result = CliRunner().invoke(app, ["explorer", "--data", str(STORE), "--out", str(tmp_path / "page.html")])
    assert result.exit_code == 0, result.output
    written = (tmp_path / "page.html").read_bytes()
    assert written == (ROOT / "notebooks" / "decay_mask.html").read_bytes(), (
        "write it anew: mmm4rec-lite explorer --data data_samples/store --out notebooks/decay_mask.html"
    )
    assert len(written) < 200_000


def test_other_data_show_some_of_their_own_users(tmp_path, toy):
    result = CliRunner().invoke(app, ["explorer", "--data", str(make_toy.FOLDER), "--out", str(tmp_path / "page.html")])
    assert result.exit_code == 0, result.output
    assert [one["name"].partition(":")[0] for one in histories(toy)] == first_users(toy, 4)
    single = toy.interactions.drop_duplicates("user").iloc[:9]
    two = toy.interactions[toy.interactions["user"] == toy.interactions["user"].iloc[-1]].tail(2)
    few = Dataset.from_frames("few", pd.concat([single, two]), toy.items.assign(image=None), None, {})
    assert first_users(few) == [two["user"].iloc[0]]  # who has a gap to move


def test_nothing_on_the_page_comes_from_elsewhere(store, tmp_path):
    page = write_page(tmp_path / "page.html", histories(store)).read_text(encoding="utf-8")
    assert "default-src 'none'; img-src data:" in page and "unsafe" not in page
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) == {
        "https://arxiv.org/abs/2506.02916", "http://www.w3.org/2000/svg"  # a link to click, a name
    }  # fmt: skip


def test_histories_are_the_datasets_with_pictures_inside(store):
    for one, user in zip(histories(store), SHOWN, strict=True):
        own = store.interactions[store.interactions["user"] == user]
        assert one["gaps"][0] == 0 and sum(one["gaps"]) == own["timestamp"].max() - own["timestamp"].min()
        assert len(one["titles"]) == len(one["gaps"]) == len(one["pictures"]) == len(own)
        assert all(picture is None or picture.startswith("data:image/jpeg;base64,") for picture in one["pictures"])
        assert one["name"].startswith(f"{user}: {len(own)} items in ")


def test_only_the_demo_store_is_called_made_up(store, toy, tmp_path):
    assert all(one["demo"] for one in histories(store))
    assert not any(one["demo"] for one in histories(toy, toy.interactions["user"].unique()[:2]))
    page = write_page(tmp_path / "page.html", histories(store)).read_text(encoding="utf-8")
    assert page.count("made up") == 1 and '<span id="demo" hidden>The shop is made up' in page  # until it is shown


def test_long_histories_are_cut_to_their_latest_items(store):
    user = store.interactions["user"].value_counts().index[0]
    own = store.interactions[store.interactions["user"] == user].tail(MAX_ITEMS)
    (one,) = histories(store, [user])
    assert one["gaps"] == [0, *own["timestamp"].diff()[1:]] and len(own) == MAX_ITEMS


def test_a_title_cannot_end_the_script(tmp_path):
    titles = ["</script><script>alert(1)</script>", "<!--"]
    page = write_page(tmp_path / "page.html", [ONE | {"titles": titles}]).read_text(encoding="utf-8")
    filled = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1]
    assert json.loads(filled)["histories"][0]["titles"] == titles and "<" not in filled


def test_a_runs_page_has_its_heads_and_says_whose_they_are(toy, random_features, tmp_path):
    task = Task(toy, random_features(toy.items["item"]))
    done = run(
        task, out=tmp_path / "run", epochs=1, progress=False, d_model=16, d_ff=16, d_state=4, head_dim=8, max_len=8
    )
    task.features.save(tmp_path / "toy.safetensors")
    given = [
        "explorer",
        "--data",
        str(ROOT / "data_samples/toy"),
        "--user",
        "user07",
        "--out",
        str(tmp_path / "page.html"),
    ]
    more = ["--run", str(done.folder), "--features", str(tmp_path / "toy.safetensors")]
    result = CliRunner().invoke(app, [*given, *more])
    assert result.exit_code == 0, result.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1])
    assert data["about"].startswith("MMM4Rec, trained on toy (preset small, trained at full scale, seed 0, 20")
    assert len(data["histories"][0]["rows"]) == 8 and data["log_mean"] == float(done.model.times.log_mean)
    assert set(data["model"]["config"]) == {field.name for field in dataclasses.fields(done.model.config)}
    with pytest.raises(InputError, match="--run and --features go together"):
        CliRunner().invoke(app, [*given, *more[:2]], catch_exceptions=False)
    timeless = dataclasses.replace(done, model=MMM4Rec.from_catalogue(ModelConfig(time=False), task.catalogue))
    with pytest.raises(InputError, match="time=False"):
        write_page(tmp_path / "none.html", histories(toy, ["user07"]), timeless, toy)


@pytest.mark.browser
def test_a_runs_heads_in_the_page_are_the_models(tab, toy, toy_model, tmp_path):
    """Every head of every scan, with the true gaps and with stretched ones."""
    model = toy_model(ModelConfig(d_model=16, d_ff=16, d_state=4, head_dim=8, max_len=8, n_layers=2))
    record = dict(system="mmm4rec", dataset="toy", protocol="small", scale="none", seed=0, date="today")
    none = torch.zeros(0, dtype=torch.long)
    shown = histories(toy, ["user07"], 8)
    path = write_page(tmp_path / "page.html", shown, Run(record, pd.DataFrame(), none, none, model, tmp_path), toy)
    tab.goto(path.as_uri())
    rows, times = user_history(toy, "user07").tail(8), lambda gaps: int(1e9) + np.cumsum(gaps)
    for scale in (1, 30):
        gaps = [scale * gap for gap in shown[0]["gaps"]]
        found = tab.evaluate("gaps => mask.heads.map((_, k) => mask.scan(mask.data.histories[0], gaps, k))", gaps)
        scans = capture_scans(model, *as_batch(toy, rows.assign(timestamp=times(gaps)), 8))
        assert len(found) == 2 * 3 * model.config.n_heads
        for k, ours in enumerate(found):
            core, delta, D, _ = [*scans.values()][k // model.config.n_heads]
            h = k % model.config.n_heads
            np.testing.assert_allclose(ours["delta"], delta[0, :8, h], atol=1e-4)
            np.testing.assert_allclose(ours["dHat"][:8], core.step(delta, D)[1][0, h, :8].detach(), atol=1e-4)
    seen = tab.inner_text(".life")
    tab.locator("[data-control=head]").press("End")
    assert tab.locator(".trained").first.is_visible() and not tab.locator(".invented").first.is_visible()
    assert tab.inner_text(".life") != seen and "MMM4Rec, trained on toy" in tab.inner_text("#whose")


@pytest.mark.parametrize("given, told", [([], "one or more histories"), ([ONE | {"gaps": [0]}], "two or more items")])
def test_nothing_to_show_is_told_and_leaves_no_file(tmp_path, given, told):
    with pytest.raises(InputError, match=told):
        write_page(tmp_path / "page.html", given)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_user_is_told(store):
    with pytest.raises(InputError, match="no user 'nobody'"):
        histories(store, ["nobody"])
