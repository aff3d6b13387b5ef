"""A real browser, for the tests that look at pages."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium without a window; tests that take it are marked ``browser``."""
    if not CHROMIUM:
        pytest.skip("no chromium here (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here (pip install playwright)")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM)
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser):
    """An empty page without network but for the addresses in ``tab.local``; an error in its console or a request for
    anything else fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    tab, faults, outside = context.new_page(), [], []
    tab.local = ["file:", "data:", "blob:"]
    tab.on("console", lambda said: said.type == "error" and faults.append(said.text))
    tab.on("pageerror", lambda error: faults.append(str(error)))

    def gate(route):
        if route.request.url.startswith(tuple(tab.local)):
            return route.continue_()
        outside.append(route.request.url)
        route.abort()

    context.route("**/*", gate)
    yield tab
    context.close()
    assert faults == [] and outside == []
