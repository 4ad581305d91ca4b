"""Pages that the harness opens really run Python, on the page, in PyScript and in a worker, with the built wheel."""

import time
from pathlib import Path

import pytest

from tb_browser.testing import TimebackServer
from tb_browser.testing.pages import PythonPages

WHERE = "import sys, tb_browser\n(sys.platform, tb_browser.__file__)"


@pytest.mark.parametrize("way", ["pyodide", "pyscript", "worker"])
def test_a_snippet_runs_with_the_built_wheel(python_page: PythonPages, way: str) -> None:
    """The code has run, `run()` shares its names, and tb_browser is installed there."""
    page = getattr(python_page, way)("answer = 6 * 7  # </p> \\ ' \"\nlater = [answer]")
    platform, file = page.run(WHERE)
    assert platform == "emscripten"
    assert "/site-packages/tb_browser/__init__.py" in file
    assert page.run("later.append(1)\nlater") == [42, 1]
    assert page.page.evaluate("globalThis.tbWorkerRun !== undefined") is (way == "worker")


def test_html_runs_as_it_stands(python_page: PythonPages) -> None:
    """A page of one's own is waited for as it says."""
    page = python_page.html(
        "<title>Own</title><link rel=icon href='data:,'><script>setTimeout(() => globalThis.mine = 1, 300)</script>",
        until="globalThis.mine",
    )
    assert page.page.evaluate("mine") == 1
    with pytest.raises(RuntimeError, match="driven_clock=True"):
        _ = page.clock


def test_a_notebook_of_a_site(python_page: PythonPages, notebooks: Path, tmp_path: Path) -> None:
    """Its cells run, return what they said, and fail the test when they raise; what is not there is named."""
    lesson = python_page.jupyterlite("lesson.ipynb", site=notebooks / "lite")
    assert lesson.run_cell(2) == "Fraction(5, 6)"
    lesson.write_cell(2, "import sys; print(sys.platform); 1 / 0")
    with pytest.raises(AssertionError, match=r"(?s)emscripten.*ZeroDivisionError"):
        lesson.run_cell(2)
    lesson.write_cell(2, "1 +")
    with pytest.raises(AssertionError, match="SyntaxError"):
        lesson.run_cell(2)
    lesson.write_cell(2, "import sys; print('a warning', file=sys.stderr)")
    assert lesson.run_cell(2) == "a warning"
    with pytest.raises(FileNotFoundError, match=r"has no notebook other\.ipynb"):
        python_page.jupyterlite("other.ipynb")
    with pytest.raises(FileNotFoundError, match="is no JupyterLite site: run 'python3 -m static'"):
        python_page.jupyterlite(["1"], site=tmp_path)


HOUR = """
import asyncio, time
from tb_browser import create_client
beats = 0
async def beat():
    global beats
    while True:
        await asyncio.sleep(60)
        beats += 1
beating = asyncio.ensure_future(beat())
activity = create_client().activity.start(id="a", name="A", course={"code": "MATH-3"})
began = time.monotonic(), time.time()
activity.run_id
"""


def test_an_hour_of_python_passes_in_seconds(python_page: PythonPages, timeback_server: TimebackServer) -> None:
    """Python's clocks and its loop follow the driven one, and an hour's windows arrive, none missing."""
    page = python_page.pyodide(driven_clock=True)
    page.clock.pause()
    run_id = page.run(HOUR)
    began_s = time.monotonic()
    page.clock.advance(3_600_000, step_ms=15_000)
    took_s = time.monotonic() - began_s
    assert page.run("[time.monotonic() - began[0], time.time() - began[1]]") == pytest.approx([3_600, 3_600], abs=0.01)
    assert page.run("beats") == pytest.approx(60, abs=1)
    page.clock.resume()
    page.run("beating.cancel()\nawait activity.end()")
    timeline = timeback_server.timeline(run_id)
    timeline.assert_active(3_600_000, within_ms=500)
    timeline.assert_no_gaps()
    timeline.assert_counted_once()
    assert len(timeline.windows) > 230
    assert took_s < 120
