from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Playwright

from static.assemble import assemble
from tb_browser.testing.browser import CHROMIUM_FLAGS, RealBrowser, find_chromium
from tests.browser.console_guard import Console
from tests.browser.faulty import FaultySite, running_faulty_site
from tests.browser.site import Site, running_site
from tests.browser.static_server import StaticServer
from tests.browser.truth import complain_of_tracebacks

OpenBrowser = Callable[..., RealBrowser]


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Show a failure at once: a later test that hangs is ended together with the process and its summary."""
    if report.failed:
        print(f"\n{report.nodeid} failed in {report.when}:\n{report.longreprtext}", flush=True)


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder static/dist/, brought up to date: a test sees the wheel of the sources as they are now."""
    return assemble()


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Let pytest-playwright's own `page` use the same Chromium as `real_browser`."""
    return {**browser_type_launch_args, "executable_path": find_chromium(), "args": list(CHROMIUM_FLAGS)}


@pytest.fixture
def console() -> Iterator[Console]:
    """The console of every page of the test; complaints that were not expected fail it."""
    console = Console()
    yield console
    assert console.unexpected() == []


@pytest.fixture
def context(context: BrowserContext, console: Console) -> BrowserContext:
    """pytest-playwright's context, its console guarded."""
    console.watch(context)
    return context


@pytest.fixture
def open_browser(playwright: Playwright, console: Console) -> Iterator[OpenBrowser]:
    """Open a RealBrowser, its console guarded; takes RealBrowser's arguments, and may be called again after a kill."""
    with ExitStack() as opened:

        def open_browser(*, user_data_dir: Path | None = None, arguments: Sequence[str] = ()) -> RealBrowser:
            browser = RealBrowser(playwright, user_data_dir=user_data_dir, arguments=arguments)
            console.watch(browser.context)
            return opened.enter_context(browser)

        yield open_browser


@pytest.fixture
def real_browser(open_browser: OpenBrowser) -> RealBrowser:
    """A browser of this test's own whose tabs can really be hidden, frozen, crashed and killed."""
    return open_browser()


@pytest.fixture
def static_server(assets: Path, tmp_path: Path) -> Iterator[StaticServer]:
    """The assembled parts under /static/ and this test's own pages beside them."""
    with StaticServer(assets, pages=tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def whole_site(assets: Path) -> Iterator[Site]:  # noqa: ARG001 - the pages load what is assembled
    """The demo on the official server package, served for all tests."""
    with running_site() as site:
        yield site


@pytest.fixture
def site(whole_site: Site) -> Site:
    """The served demo, with a platform behind it that has received nothing yet."""
    whole_site.platform.reset()
    return whole_site


@pytest.fixture(scope="session")
def whole_faulty_site(assets: Path) -> Iterator[FaultySite]:  # noqa: ARG001 - the pages load what is assembled
    """The official server behind the faulty proxy, served for all tests."""
    with running_faulty_site() as site:
        yield site


@pytest.fixture
def faulty_site(whole_faulty_site: FaultySite) -> FaultySite:
    """The faulty site, as new."""
    whole_faulty_site.forget()
    return whole_faulty_site


@pytest.fixture
def troubled_browser(open_browser: OpenBrowser, console: Console) -> RealBrowser:
    """A browser for pages whose requests fail, which is no complaint; Python's tracebacks are."""
    console.expect("Failed to load resource")
    browser = open_browser()
    complain_of_tracebacks(browser.context, console.complaints)
    return browser
