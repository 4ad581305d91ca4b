"""The plugin in a user's project: found by its entry point from the built wheel, silent until it is used."""

import os
import re
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dev.console import ROOT


def examples(document: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text("utf-8"), re.DOTALL | re.MULTILINE)


EXAMPLES = examples("docs/testing.md")
LESSON = EXAMPLES[0].partition("def test")[0]
[README_EXAMPLE] = [LESSON + example for example in examples("README.md") if "def test" in example]

Project = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(assets: Path, tmp_path: Path) -> Project:
    """A user's project: runs pytest on a test file of its own, with the built wheel installed."""
    [wheel] = (assets / "wheels").glob("tb_browser-*.whl")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)

    def run(
        test: str, *arguments: str, static: Path | None = assets, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / "pytest.ini").write_text(f"[pytest]\ntb_browser_static = {static}\n" if static else "[pytest]\n")
        (folder / "test_it.py").write_text(textwrap.dedent(test), "utf-8")
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "TB_BROWSER_S"))
        }
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *arguments, "test_it.py"],
            cwd=folder,
            env={**inherited, "PYTHONPATH": str(installed), **environment},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    "example", [*EXAMPLES, README_EXAMPLE], ids=["PyScript page", "notebook cell", "no browser", "README"]
)
def test_the_documented_examples_run(project: Project, example: str, notebooks: Path) -> None:  # noqa: ARG001
    """Each example of docs/testing.md is a whole test file; the README's takes its lesson from the first of them."""
    run = project(example)
    assert "1 passed" in run.stdout, run.stdout + run.stderr


def test_an_installed_plugin_imports_nothing(project: Project) -> None:
    """A project that uses no fixture of ours loads neither tb_browser nor playwright's API for us."""
    run = project(
        """
        import sys

        def test_modules(pytestconfig):
            assert "tb_browser_pytest" in sys.modules
            loaded = {name for name in sys.modules if name.partition(".")[0] in ("tb_browser", "pydantic", "httpx")}
            assert not loaded
        """,
        "-p",
        "no:playwright",
    )
    assert "1 passed" in run.stdout, run.stdout + run.stderr


def test_without_pytest_playwright_the_server_works(project: Project) -> None:
    """The fixtures that need no browser need no browser's tools; the others say in one line what to install."""
    run = project(
        """
        import urllib.request

        def test_server(timeback_server):
            assert b"verified" in urllib.request.urlopen(timeback_server.api + "/user/verify").read()

        def test_page(python_page):
            pass

        def test_browser(real_browser):
            pass
        """,
        "-p",
        "no:playwright",
    )
    assert "1 passed, 2 errors" in run.stdout, run.stdout + run.stderr
    assert run.stdout.count("need pytest-playwright: pip install 'tb-browser[testing]'") >= 2


USES_PAGE = "def test_page(python_page):\n    python_page.pyodide()\n"


def test_a_folder_that_is_not_named_or_not_whole(project: Project, tmp_path: Path) -> None:
    """One line says which setting names the folder and how to make it."""
    run = project(USES_PAGE, static=tmp_path)
    assert f"{tmp_path} lacks pyodide/pyodide.mjs" in run.stdout
    (tmp_path / "project" / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "project").rename(tmp_path / "before")
    run = project(USES_PAGE, static=None)
    assert "python_page needs Pyodide" in run.stdout
    assert "TB_BROWSER_STATIC" in run.stdout


def test_a_machine_without_a_browser(project: Project) -> None:
    """One line says what to install or correct."""
    run = project("def test_browser(real_browser):\n    pass\n", TB_BROWSER_CHROMIUM="/nowhere/chromium")
    assert "1 error" in run.stdout, run.stdout + run.stderr
    assert run.stdout.count("TB_BROWSER_CHROMIUM names /nowhere/chromium, which does not exist") >= 1
    assert "Traceback" not in run.stdout


def test_a_page_that_complains_fails_the_test(project: Project) -> None:
    """Console errors, uncaught errors and Python's tracebacks, unless they are expected."""
    run = project(
        """
        def test_error(python_page):
            python_page.pyodide().page.evaluate("console.error('oh no')")

        def test_traceback(python_page):
            page = python_page.pyodide("import asyncio\\nasync def f(): 1 / 0\\nasyncio.ensure_future(f())")
            page.wait(200)

        def test_expected(python_page, page_console):
            page_console.expect("oh no")
            python_page.pyodide().page.evaluate("console.error('oh no')")

        def test_pyscript_that_does_not_start(python_page):
            python_page.pyscript("1 / 0").wait(500)
        """
    )
    assert "3 errors" in run.stdout, run.stdout + run.stderr
    assert "oh no" in run.stdout
    assert run.stdout.count("ZeroDivisionError") >= 2
