"""One line in a notebook's cell: what the platform received, in real notebooks."""

from pathlib import Path
from typing import Any

import pytest

from static.notebooks import build
from tb_browser.testing.browser import RealBrowser
from tests.browser.console_guard import Console
from tests.browser.notebooks import Notebook, jupyter
from tests.browser.site import Site

NEAR_MS = 60
"""A loaded machine lets this much pass between a moment and our note of it."""

TRACK = """from tb_browser.notebook import track
track(id="fractions-1", name="Fractions", course={{"subject": "Math", "grade": 3}}, base_url="{url}/api/timeback")"""


@pytest.fixture(scope="session")
def notebooks() -> Path:
    """The example notebooks' site, brought up to date."""
    return build()


@pytest.fixture
def lite(real_browser: RealBrowser, site: Site, console: Console, notebooks: Path) -> Notebook:  # noqa: ARG001
    """The example lesson in JupyterLite, its package installed by its first cell and the badge shown by its second."""
    console.expect("Failed to load resource.*/notebooks/lite/")  # JupyterLite asks for files that may be there
    notebook = Notebook(real_browser, site, f"{site.url}/notebooks/lite/notebooks/index.html?path=lesson.ipynb")
    notebook.run_cell(0)
    notebook.run_cell(1)
    notebook.wait_for_state("running")
    return notebook


def near(ms: float) -> Any:
    return pytest.approx(ms, abs=NEAR_MS)


def test_jupyterlite_counts_what_the_page_lived(lite: Notebook) -> None:
    """Cell run again, hidden, shown, closed: one run, and every millisecond of it once."""
    lite.run_cell(1)
    lite.wait_for_state("running")
    lite.page.wait_for_timeout(1_000)
    lite.tab.hide()
    lite.page.wait_for_timeout(800)
    lite.tab.show()
    lite.page.wait_for_timeout(1_200)
    (hidden_ms, shown_ms), left_ms = lite.leave()
    started_ms, active_ms, inactive_ms = lite.account(left_ms)
    assert active_ms == near(hidden_ms - started_ms + left_ms - shown_ms)
    assert inactive_ms == near(shown_ms - hidden_ms)


def test_jupyterlite_reports_a_tab_that_is_closed_while_a_cell_runs(lite: Notebook) -> None:
    """Paused and resumed by keyboard; then a cell computes, the badge says so, and the tab is closed."""
    button = lite.badge.get_by_role("button")
    button.focus()
    lite.page.keyboard.press("Enter")
    lite.wait_for_state("paused")
    assert button.inner_text() == "Resume"
    lite.page.wait_for_timeout(700)
    button.focus()
    lite.page.keyboard.press("Enter")
    lite.wait_for_state("running")
    lite.page.locator(".jp-CodeCell .cm-content").nth(2).click()
    lite.page.keyboard.press("ControlOrMeta+a")
    lite.page.keyboard.insert_text("while True: pass")
    lite.page.keyboard.press("Shift+Enter")
    lite.wait_for_state("busy", 10)
    _, left_ms = lite.leave()
    started_ms, active_ms, inactive_ms = lite.account(left_ms)
    assert active_ms + inactive_ms == near(left_ms - started_ms)
    assert 600 < inactive_ms < 2_000


def test_an_ordinary_kernel_counts_what_the_page_lived(
    real_browser: RealBrowser, site: Site, console: Console, tmp_path: Path
) -> None:
    """Hidden, shown, closed: the kernel outlives the page, and delivers every millisecond of it once."""
    # JupyterLite's extension is installed beside it, and an ordinary JupyterLab cannot load it.
    console.expect("Shared module @jupyterlite/services doesn't exist")
    with jupyter(tmp_path, [TRACK.format(url=site.url)]) as url:
        notebook = Notebook(real_browser, site, url)
        notebook.wait_for_kernel()
        notebook.run_cell(0)
        notebook.wait_for_state("running")
        notebook.page.wait_for_timeout(1_000)
        notebook.tab.hide()
        notebook.page.wait_for_timeout(800)
        notebook.tab.show()
        notebook.page.wait_for_timeout(1_200)
        (hidden_ms, shown_ms), left_ms = notebook.leave()
        started_ms, active_ms, inactive_ms = notebook.account(left_ms)
    assert active_ms == near(hidden_ms - started_ms + left_ms - shown_ms)
    assert inactive_ms == near(shown_ms - hidden_ms)
