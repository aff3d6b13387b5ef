"""A real browser, Debian's Chromium without a window: the explorers in JupyterLab, the stand-alone page, the site."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest

from mmm4rec_lite.analysis.decay import LOG_MEAN, LOG_STD, explore
from mmm4rec_lite.data import load_dataset
from mmm4rec_lite.study import site
from mmm4rec_lite.viz.explorers import page as explorer_page

ROOT = Path(__file__).parents[2]
NOTEBOOKS, STORE = ROOT / "notebooks", ROOT / "data_samples" / "store"
pytestmark = pytest.mark.browser

# notebook -> the slider that is moved (its description). The notebook's first cell tagged "explorer" shows it, and
# needs no other cells than the imports and the one tagged "parameters"
EXPLORERS = {"03_decay_masks": "Decay rate A", "04_alignment_and_fusion": "period 1 (steps)"}
WIDGETS = ("03_decay_masks", "mask_of_a_model")  # which are drawn in the browser, without the kernel
# the explorers that run a model stand in notebooks that train it first; here each has a notebook of its own, with an
# untrained one over the demo store: the cell, and the button or slider that is moved
WITH_MODEL = {
    "mask_of_a_model": ("explorers.mask_explorer(store, model)", "Decay rate A"),
    "what_if": ("explorers.what_if(model, store)", "drop"),
    "modality_dial": ("explorers.modality_dial(model, store, features)", "history pictures (%)"),
}
MODEL = """
import torch
from mmm4rec_lite import MMM4Rec, ModelConfig
from mmm4rec_lite.viz import explorers
from mmm4rec_lite.data import load_dataset
from mmm4rec_lite.data.synthetic import truth_of
from mmm4rec_lite.study.shop import shown
store = load_dataset("../data_samples/store")
features = shown(truth_of(store), store)
torch.manual_seed(0)
model = MMM4Rec.from_catalogue(ModelConfig(), features.catalogue(store.items["item"]))
""".strip()


# --- the stand-alone page ---


@pytest.fixture
def page(tab, tmp_path):
    """The stand-alone explorer with the demo store's histories, opened as a reader would: from a file."""
    shown = explorer_page.histories(load_dataset(STORE))
    tab.goto(explorer_page.write_page(tmp_path / "page.html", shown).as_uri())
    return tab


def picture(page):
    """The heat map's pixels, once all pictures are in it."""
    for _ in range(100):
        if page.evaluate("[...mask.explorer.panel.loaded.values()].every(Boolean)"):
            break
        page.wait_for_timeout(50)
    return page.evaluate("document.querySelector('.mask-map canvas').toDataURL()")


DAY = 86_400
LONG = [0, *np.random.default_rng(0).lognormal(11.4, 3, 99).tolist()]
CASES = {
    "usual": ([0, 3600, 30 * DAY, 60, DAY], -2, 3, 0.1, True),
    "first gap given": ([5 * DAY, 3600, 0], -2, 3, 0.1, True),
    "without time": ([0, 3600, 30 * DAY], -2, 3, 0.1, False),
    "no gap counts": ([0, 3600, 30 * DAY], -2, 0, 0.1, True),
    "negative scale": ([0, 0, 0, 10 * 365 * DAY, 1], -0.5, -4, 1.5, True),
    "a hundred items": (LONG, -0.3, 1, 0.02, True),
    "one item": ([0], -2, 3, 0.1, True),
    "all at once": ([0, 0, 0], -16, 1, 0.1, True),
    "everything forgotten": ([0, 1e9, 1e9], -1e4, 50, 2, True),
    "nothing decays": ([0, 1e9, 10], -1e-300, 1, 1e-300, False),
    "tiny steps": ([0, 1e9, 10], -1e-3, -500, 1e-9, True),
    "large steps": ([0, 1e9, 10], -1e-3, 500, 60, True),
}


def test_the_pages_maths_is_the_librarys(page):
    for case, given in CASES.items():
        given = [*given, LOG_MEAN, LOG_STD]
        ours, shown = explore(*given), page.evaluate("given => mask.explore(...given)", given)
        assert shown.keys() == ours.keys()
        for name, value in ours.items():
            shown[name] = np.array(shown[name], dtype=float)
            np.testing.assert_allclose(shown[name], value, rtol=1e-9, atol=1e-9, err_msg=f"{case}: {name}")


def test_a_moved_slider_changes_numbers_and_picture_of_the_page(page):
    for control in ("A", "base", "delta", "gap", "scale"):
        slider = page.locator(f"[data-control={control}]")
        life, before, words = page.inner_text(".life"), picture(page), slider.get_attribute("aria-valuetext")
        slider.focus()
        page.keyboard.press("ArrowLeft")
        assert page.inner_text(".life") != life and picture(page) != before, control
        assert slider.get_attribute("aria-valuetext") != words, control


def test_what_the_page_says_is_what_the_library_says(page):
    """Another history and head, time switched off, all by keyboard."""
    for control, key in (("history", "ArrowDown"), ("head", "End"), ("time", "Space")):
        page.focus(f"[data-control={control}]")
        page.keyboard.press(key)
    one, head = page.evaluate("mask.data.histories[1]"), explorer_page.HEADS[-1]
    ours = explore(one["gaps"], head["A"], head["delta"], head["base"], time=False)
    days = ours["half_life_seconds"] / DAY
    assert f"after {ours['half_life_steps']:.1f} steps or {days:.0f} days" in page.inner_text(".life")
    for name, values in (("left", ours["left"]), ("share", ours["weight"])):
        assert page.locator(f"[data-value={name}]").all_inner_texts() == [f"{100 * value:.1f} %" for value in values]
    options = page.locator("[data-control=place] option")
    assert page.locator(".mask-items li").count() == len(one["titles"]) == options.count() + 1
    assert page.locator(".mask-map canvas").get_attribute("aria-label").endswith("100.0 % of item 10.")
    page.get_by_text("The mask in numbers").click()
    assert page.locator(".mask-map tr").nth(1).inner_text().split() == ["step", "1", "100.0"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_words_can_be_read_and_every_control_has_a_name(page, scheme):
    page.emulate_media(color_scheme=scheme)
    for width in (360, 1200):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == width
    ink, ground = page.evaluate("(style => [style.color, style.backgroundColor])(getComputedStyle(document.body))")
    assert (luminance(ink) < luminance(ground)) == (scheme == "light")
    dark, bright = sorted(map(luminance, (ink, ground)))
    assert (bright + 0.05) / (dark + 0.05) > 7  # WCAG's enhanced contrast
    named = page.evaluate("[...document.querySelectorAll('input, select')].map(one => one.labels.length)")
    assert len(named) == 9 and all(named)


def luminance(colour):
    """WCAG's relative luminance of a CSS "rgb(r, g, b)"."""
    parts = np.array([int(part) for part in colour[4:-1].split(",")]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


# --- the site ---


def test_the_sites_pages_show_their_pictures_fit_a_telephone_and_lead_to_each_other(tab, tmp_path):
    names = ["00_quickstart", *EXPLORERS]
    index = site.render([NOTEBOOKS / f"{name}.ipynb" for name in names], tmp_path, [NOTEBOOKS / "decay_mask.html"])
    tab.set_viewport_size({"width": 360, "height": 800})
    for page in ["index", *names]:
        tab.goto((tmp_path / f"{page}.html").as_uri())
        assert tab.evaluate("[...document.images].every(one => one.complete && one.naturalWidth)"), page
        assert tab.evaluate("document.documentElement.scrollWidth") == 360, page
    tab.get_by_role("link", name="All chapters").click()
    assert tab.url == index.as_uri() and tab.locator("li img").count() == len(names) + 1
    tab.get_by_role("link", name="Try it yourself").click()
    assert tab.inner_text(".life")


# --- JupyterLab ---


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab of its own on a copy of the notebooks; its settings and files lie there too."""
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(NOTEBOOKS, home / "notebooks")
    for name, (source, _) in WITH_MODEL.items():
        cells = [nbformat.v4.new_code_cell(MODEL), nbformat.v4.new_code_cell(source, metadata={"tags": ["explorer"]})]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
        nbformat.write(notebook, home / "notebooks" / f"{name}.ipynb")
    for folder in ("data_samples", "benchmarks"):  # what notebooks read
        (home / folder).symlink_to(ROOT / folder)
    settings = {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "notebook-extension/tracker": {"windowingMode": "none"},
    }  # cells out of sight are on the page too
    for name, values in settings.items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    own = {
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTER_CONFIG_DIR": "config",
    }
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--port=0",
        "--allow-root",
        "--IdentityProvider.token=",
        f"--ServerApp.root_dir={home / 'notebooks'}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly",
    ]
    with open(home / "log", "w") as log:
        server = subprocess.Popen(
            command,
            cwd=home,
            stdout=log,
            stderr=log,
            env=os.environ | {name: str(home / folder) for name, folder in own.items()},
        )
    try:
        for _ in range(600):
            if found := [file for file in home.glob("runtime/jpserver-*.json") if file.stat().st_size]:
                break
            assert server.poll() is None, (home / "log").read_text()[-2000:]
            time.sleep(0.1)
        else:
            pytest.fail(f"JupyterLab did not start within a minute: {(home / 'log').read_text()[-2000:]}")
        yield json.loads(found[0].read_text())["url"]
    finally:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(20)
        server.kill()


# open a notebook, run its imports, its parameters and its first explorer, nothing else; the explorer's cell gets an id
RUN = """async path => {
  const app = window.jupyterapp;
  await app.restored;
  const panel = await app.commands.execute("docmanager:open", { path, factory: "Notebook" });
  await Promise.all([panel.context.ready, panel.sessionContext.ready, panel.revealed]);
  const tagged = tag => cell => cell.model.getMetadata("tags")?.includes(tag);
  const explorer = panel.content.widgets.find(tagged("explorer"));
  if (!explorer) throw Error("no cell of this notebook is tagged 'explorer'");
  explorer.node.id = "explorer";
  for (const [i, cell] of panel.content.widgets.entries())
    if (cell === explorer || tagged("parameters")(cell)
        || cell.model.type === "code" && /^(import|from) /.test(cell.model.sharedModel.source)) {
      panel.content.deselectAll();
      panel.content.activeCellIndex = i;
      app.commands.execute("notebook:run-cell");
    }
}"""
# what an explorer says, but for the numbers that sliders write themselves, and its figure's pixels
SEEN = """cell => {
  const copy = cell.querySelector(".jp-Cell-outputWrapper").cloneNode(true), canvas = document.createElement("canvas");
  copy.querySelectorAll(".widget-readout").forEach(readout => readout.remove());
  const own = cell.querySelector(".mask-map canvas");
  if (own) return [copy.textContent, own.toDataURL()];
  const figure = cell.querySelector("img");
  [canvas.width, canvas.height] = [figure.naturalWidth, figure.naturalHeight];
  canvas.getContext("2d").drawImage(figure, 0, 0);
  return [copy.textContent, canvas.toDataURL()];
}"""
BOTH_CHANGED = f"""([cell, old]) => (cell.querySelector("img")?.complete ?? true)
  && ({SEEN})(cell).every((now, i) => now !== old[i])"""


@pytest.mark.parametrize(
    "name, control", [*EXPLORERS.items(), *((name, moved) for name, (_, moved) in WITH_MODEL.items())]
)
def test_a_moved_control_changes_text_and_figure_in_jupyterlab(lab, tab, name, control):
    tab.local.append(lab)
    tab.goto(f"{lab}lab?reset")  # without the tabs of the test before
    tab.wait_for_function("window.jupyterapp")
    tab.evaluate(RUN, f"{name}.ipynb")
    cell = tab.locator("#explorer")
    slider, fault = ".widget-slider, .mask-explorer input", ".jp-RenderedText[data-mime-type*=stderr]"
    cell.locator(f"{slider}, {fault}").first.wait_for(timeout=60_000)
    assert tab.locator(fault).all_inner_texts() == []
    drawn = ".mask-map canvas')?.width" if name in WIDGETS else "img')?.naturalWidth"
    tab.wait_for_function(f"document.querySelector('#explorer {drawn}")
    named = tab.get_by_text(control, exact=True)
    handle = (
        cell.locator(".widget-slider")
        .filter(has=named)
        .locator(".noUi-handle")
        .or_(cell.get_by_role("button", name=control, exact=True))
        .or_(cell.get_by_label(control))
        .first
    )
    keys = ("Enter", "Enter") if control == "drop" else ("Home", "End")
    for key in (*keys, "ArrowLeft") if name in WIDGETS else keys:  # an arrow is no command of JupyterLab's here
        old = cell.evaluate(SEEN)
        handle.press(key)
        tab.wait_for_function(BOTH_CHANGED, arg=[cell.element_handle(), old])
    assert tab.locator(".jp-RenderedText[data-mime-type*=stderr]").all_inner_texts() == []
    assert "Not drawn" not in cell.inner_text()
