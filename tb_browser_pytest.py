"""The pytest plugin of tb_browser: the fixtures of `tb_browser.testing` (docs/testing.md).

It lies beside the package and imports nothing of it until a fixture is used: a project that merely has tb_browser
installed pays nothing for it at start, and measures its own coverage from the first import on.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Playwright

    from tb_browser.testing.browser import RealBrowser
    from tb_browser.testing.console import Console
    from tb_browser.testing.pages import PythonPages
    from tb_browser.testing.server import TimebackServer


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the configuration name the folder of Pyodide, PyScript and the wheels."""
    parser.addini("tb_browser_static", "python_page's folder with pyodide/, pyscript/ and wheels/", "paths")


@pytest.fixture(scope="session")
def tb_browser_static(pytestconfig: pytest.Config) -> Path:
    """The folder with Pyodide, PyScript and the wheels: `tb_browser_static`, else TB_BROWSER_STATIC."""
    named: list[Path] = pytestconfig.getini("tb_browser_static")
    from_environment = os.environ.get("TB_BROWSER_STATIC")
    if not named and not from_environment:
        pytest.fail(
            "python_page needs Pyodide: run 'python3 -m demo' once in a checkout of tb_browser, and name its folder "
            "static/dist in tb_browser_static (pytest's configuration) or TB_BROWSER_STATIC.",
            pytrace=False,
        )
    return named[0] if named else Path(str(from_environment))


@pytest.fixture
def timeback_server() -> Iterator[TimebackServer]:
    """A recording Timeback server of this test's own, on a free port."""
    from tb_browser.testing.server import TimebackServer

    with TimebackServer() as server:
        yield server


@pytest.fixture
def page_console(pytestconfig: pytest.Config) -> Iterator[Console]:
    """The console of every page of the test; complaints that were not expected fail it."""
    _browser_tools_or_fail(pytestconfig)
    from tb_browser.testing.console import Console

    console = Console()
    yield console
    if unexpected := console.unexpected():
        pytest.fail("the page complained in its console:\n" + "\n".join(unexpected), pytrace=False)


@pytest.fixture
def open_real_browser(request: pytest.FixtureRequest, page_console: Console) -> Iterator[Callable[..., RealBrowser]]:
    """Opens a RealBrowser, its console guarded; takes RealBrowser's arguments, and may be called again after a kill."""
    from tb_browser.testing.browser import ChromiumNotFoundError, RealBrowser

    playwright: Playwright = request.getfixturevalue("playwright")
    with ExitStack() as opened:

        def open_real_browser(**arguments: Any) -> RealBrowser:
            try:
                browser = RealBrowser(playwright, **arguments)
            except ChromiumNotFoundError as error:
                pytest.fail(str(error), pytrace=False)
            page_console.watch(browser.context)
            return opened.enter_context(browser)

        yield open_real_browser


@pytest.fixture
def real_browser(open_real_browser: Callable[..., RealBrowser]) -> RealBrowser:
    """A browser of this test's own whose tabs can really be hidden, frozen, crashed and killed."""
    return open_real_browser()


@pytest.fixture
def python_page(
    request: pytest.FixtureRequest, timeback_server: TimebackServer, tb_browser_static: Path, page_console: Console
) -> PythonPages:
    """Opens pages with Python in them, in `real_browser`, on the origin of `timeback_server`."""
    from tb_browser.testing.pages import PythonPages

    def browser() -> RealBrowser:
        opened: RealBrowser = request.getfixturevalue("real_browser")
        return opened

    try:
        return PythonPages(browser, timeback_server, page_console, tb_browser_static)
    except FileNotFoundError as error:
        pytest.fail(str(error), pytrace=False)


def _browser_tools_or_fail(config: pytest.Config) -> None:
    if not config.pluginmanager.has_plugin("playwright"):
        pytest.fail("fixtures with a browser need pytest-playwright: pip install 'tb-browser[testing]'", pytrace=False)
