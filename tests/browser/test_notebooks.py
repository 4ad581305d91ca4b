"""One line in a notebook's cell: what the platform received, in real notebooks."""

import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tb_browser.testing.browser import RealBrowser
from tb_browser.testing.console import Console
from tests.browser.notebooks import Notebook, jupyter
from tests.browser.site import Site

TRACK_STUDENT = """from tb_browser.notebook import track
track(
id="fractions-1", name="Fractions", course={"subject": "Math", "grade": 3}, user_key="student",
time={"retry": {"settle_ms": 1000}})"""

NEAR_MS = 60
"""A loaded machine lets this much pass between a moment and our note of it."""

TRACK = """from tb_browser.notebook import track
track(id="fractions-1", name="Fractions", course={{"subject": "Math", "grade": 3}}, base_url="{url}/api/timeback")"""

TRACK_OFTEN = TRACK[:-1] + ', time={{"heartbeat_ms": 2_000}})'


@pytest.fixture
def lesson(real_browser: RealBrowser, site: Site, console: Console, notebooks: Path) -> Notebook:  # noqa: ARG001
    """The example lesson, opened in JupyterLite."""
    console.expect("Failed to load resource.*/notebooks/lite/")  # JupyterLite asks for files that may be there
    return Notebook(real_browser, site, f"{site.url}/notebooks/lite/notebooks/index.html?path=lesson.ipynb")


@pytest.fixture
def lite(lesson: Notebook) -> Notebook:
    """The same, its package installed by its first cell and the badge shown by its second."""
    lesson.run_cell(0)
    lesson.run_cell(1)
    lesson.wait_for_badge("running")
    return lesson


def near(ms: float) -> Any:
    return pytest.approx(ms, abs=NEAR_MS)


def assert_hidden_and_left_count(notebook: Notebook) -> None:
    """Hide the tab, show it, close it: every millisecond has arrived once, as what it was."""
    notebook.wait(1_000)
    notebook.hide()
    notebook.wait(800)
    notebook.show()
    notebook.wait(1_200)
    (hidden_ms, shown_ms), left_ms = notebook.leave()
    started_ms, active_ms, inactive_ms = notebook.account(left_ms)
    assert active_ms == near(hidden_ms - started_ms + left_ms - shown_ms)
    assert inactive_ms == near(shown_ms - hidden_ms)


def test_jupyterlite_counts_what_the_page_lived(lite: Notebook) -> None:
    """All cells run again, hidden, shown, closed: one run, and every millisecond of it once."""
    lite.page.get_by_role("menuitem", name="Run", exact=True).click()
    lite.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    expect(lite.page.locator(".jp-CodeCell").nth(2)).to_contain_text("Fraction(5, 6)", timeout=30_000)
    lite.wait_for_badge("running")
    assert_hidden_and_left_count(lite)


def test_jupyterlite_reports_a_tab_that_is_closed_while_a_cell_runs(lite: Notebook) -> None:
    """Paused and resumed by keyboard; then a cell computes, the badge says so, and the tab is closed."""
    button = lite.badge.get_by_role("button")
    button.focus()
    lite.page.keyboard.press("Enter")
    lite.wait_for_badge("paused")
    assert button.inner_text() == "Resume"
    lite.wait(700)
    button.focus()
    lite.page.keyboard.press("Enter")
    lite.wait_for_badge("running")
    lite.write_cell(2, "while True: pass")
    lite.start_cell(2)
    lite.wait_for_badge("busy", 10)
    _, left_ms = lite.leave()
    started_ms, active_ms, inactive_ms = lite.account(left_ms)
    assert active_ms + inactive_ms == near(left_ms - started_ms)
    assert 600 < inactive_ms < 2_000


@pytest.mark.nightly
def test_a_restarted_kernel_goes_on_with_the_run_that_the_notebook_keeps(lesson: Notebook) -> None:
    """The cell's metadata hold the run of the student who is named.

    The page forgets the old kernel, the new one delivers what that had left, and nothing counts twice.
    Nightly: two starts of a kernel take 40 s.
    """
    lesson.write_cell(1, TRACK_STUDENT)
    lesson.start_cell(0)
    lesson.start_cell(1)
    lesson.wait_for_badge("running")
    lesson.wait(3_000)
    restarted_ms = time.time() * 1000
    lesson.page.get_by_role("menuitem", name="Kernel").click()
    lesson.page.get_by_role("menuitem", name="Restart Kernel…").first.click()
    lesson.page.locator(".jp-Dialog button.jp-mod-accept").click()
    lesson.wait_for_badge("stopped")
    lesson.start_cell(0)
    lesson.start_cell(1)
    lesson.wait_for_badge("running")
    lesson.wait(4_000)
    _, left_ms = lesson.leave()
    spans = lesson.settled(left_ms)
    before, after = ([span for span in spans if (span[0] < restarted_ms) is early] for early in (True, False))
    end_ms = before[-1][1]
    assert abs(end_ms - restarted_ms) < 1_500, spans
    assert sum(active for _, _, active, _ in before) > 3_000
    assert after[0][0] > end_ms
    assert after[-1][1] == near(left_ms)


def test_marimo_counts_what_the_page_lived(
    real_browser: RealBrowser,
    site: Site,
    notebooks: Path,  # noqa: ARG001 - built by then
) -> None:
    """Hidden, shown, closed: marimo in the browser runs its cells by itself, and every millisecond counts once."""
    notebook = Notebook(real_browser, site, f"{site.url}/notebooks/marimo/index.html")
    notebook.wait_for_badge("running")
    assert_hidden_and_left_count(notebook)


def test_an_ordinary_kernel_counts_what_the_page_lived(
    real_browser: RealBrowser, site: Site, console: Console, tmp_path: Path
) -> None:
    """Hidden, shown, closed: the kernel outlives the page, and delivers every millisecond of it once."""
    # JupyterLite's extension is installed beside it, and an ordinary JupyterLab cannot load it.
    console.expect("Shared module @jupyterlite/services doesn't exist")
    with jupyter(tmp_path, [TRACK.format(url=site.url)]) as url:
        notebook = Notebook(real_browser, site, url)
        notebook.track(0)
        assert_hidden_and_left_count(notebook)


@pytest.mark.nightly
def test_an_ordinary_kernel_reports_a_tab_that_is_closed_while_a_cell_runs(
    real_browser: RealBrowser, site: Site, console: Console, tmp_path: Path
) -> None:
    """The kernel hears of all once its cell is done, and charges it when it happened, although windows were due before.

    Nightly: the kernel's own Jupyter and the cell take 30 s, and JupyterLite's test of the same runs always.
    """
    console.expect("Shared module @jupyterlite/services doesn't exist")
    with jupyter(tmp_path, [TRACK_OFTEN.format(url=site.url), "import time; time.sleep(9)"]) as url:
        notebook = Notebook(real_browser, site, url)
        notebook.track(0)
        notebook.start_cell(1)
        notebook.wait_for_badge("busy", 10)
        notebook.hide()
        notebook.wait(800)
        notebook.show()
        notebook.wait(500)
        (hidden_ms, shown_ms), left_ms = notebook.leave()
        started_ms, active_ms, inactive_ms = notebook.account(left_ms, within_s=15)
        assert active_ms == near(hidden_ms - started_ms + left_ms - shown_ms)
        assert inactive_ms == near(shown_ms - hidden_ms)
