from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from static.assemble import assemble
from static.notebooks import build
from tb_browser.testing.browser import CHROMIUM_FLAGS, RealBrowser, find_chromium
from tb_browser.testing.console import Console
from tests.browser.site import Site, running_site
from tests.browser.static_server import StaticServer

OpenBrowser = Callable[..., RealBrowser]


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Show a failure at once: a later test that hangs is ended together with the process and its summary."""
    if report.failed or report.outcome == "rerun":
        print(f"\n{report.nodeid} failed in {report.when}:\n{report.longreprtext}", flush=True)
    if report.when == "teardown" and "a tab has" in report.capstderr:
        print(f"\n{report.nodeid}: {report.capstderr}", flush=True)


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder static/dist/, brought up to date: a test sees the wheel of the sources as they are now."""
    return assemble()


@pytest.fixture(scope="session")
def notebooks() -> Path:
    """The folder static/build/ with the example notebooks' sites, brought up to date."""
    return build()


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Let pytest-playwright's own `page` use the same Chromium as `real_browser`."""
    return {**browser_type_launch_args, "executable_path": find_chromium(), "args": list(CHROMIUM_FLAGS)}


@pytest.fixture(scope="session")
def tb_browser_static(assets: Path) -> Path:
    """What the harness serves is what was just assembled."""
    return assets


@pytest.fixture
def console(page_console: Console) -> Console:
    """The harness's console guard, by its short name."""
    return page_console


@pytest.fixture
def open_browser(open_real_browser: OpenBrowser) -> OpenBrowser:
    """The harness's way to open a browser, by its short name."""
    return open_real_browser


@pytest.fixture
def context(context: BrowserContext, console: Console) -> BrowserContext:
    """pytest-playwright's context, its console guarded."""
    console.watch(context)
    return context


@pytest.fixture
def static_server(assets: Path, tmp_path: Path) -> Iterator[StaticServer]:
    """The assembled parts under /static/ and this test's own pages beside them."""
    with StaticServer(assets, pages=tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def whole_site(assets: Path) -> Iterator[Site]:  # noqa: ARG001 - the pages load what is assembled
    """The demo on the official server package, behind the harness's recorder, served for all tests."""
    with running_site() as site:
        yield site


@pytest.fixture
def site(whole_site: Site) -> Site:
    """The served demo, as new."""
    whole_site.forget()
    return whole_site


@pytest.fixture
def troubled_browser(open_browser: OpenBrowser, console: Console) -> RealBrowser:
    """A browser for pages whose requests fail, which is no complaint; Python's tracebacks are."""
    console.expect("Failed to load resource")
    return open_browser()
