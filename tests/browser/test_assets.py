"""What static/ assembles works in a real browser, and works alone."""

from collections.abc import Callable

import pytest

from tb_browser.testing.browser import RealBrowser
from tests.browser.static_server import StaticServer

PYODIDE = """<!doctype html><link rel="icon" href="data:,">
<script type="module">
import {loadPyodide} from "/static/pyodide/pyodide.mjs";
const pyodide = await loadPyodide();
%s
document.title = await pyodide.runPythonAsync(`import tb_browser; tb_browser.__name__`);
</script>"""

LOAD_PACKAGE = 'await pyodide.loadPackage("tb-browser");'
MICROPIP = """await pyodide.loadPackage("micropip");
await pyodide.runPythonAsync(`import micropip; await micropip.install("%s")`);"""

PYSCRIPT = """<!doctype html><link rel="icon" href="data:,">
<link rel="stylesheet" href="/static/pyscript/core.css">
<script type="module" src="/static/pyscript/core.js"></script>
<script type="%s" config='{"interpreter": "/static/pyodide/pyodide.mjs", "packages": ["tb-browser"]}'%s>
import tb_browser
%s
</script>"""
SHOW_ON_PAGE = "from pyscript import document\ndocument.title = tb_browser.__name__"
SHOW_FROM_WORKER = "import js\njs.BroadcastChannel.new('title').postMessage(tb_browser.__name__)"
HEAR_WORKER = "<script>new BroadcastChannel('title').onmessage = ({data}) => { document.title = data; }</script>"

PAGES = {
    "loadPackage": PYODIDE % LOAD_PACKAGE,
    "micropip": PYODIDE % (MICROPIP % "tb-browser"),
    "micropip, the wheel itself": PYODIDE % (MICROPIP % "/static/wheels/tb_browser-0.1.0-py3-none-any.whl"),
    "PyScript": PYSCRIPT % ("py", "", SHOW_ON_PAGE),
    "PyScript worker": PYSCRIPT % ("py", " worker", SHOW_FROM_WORKER) + HEAR_WORKER,
}


@pytest.mark.parametrize("way", PAGES)
def test_tb_browser_is_found_without_leaving_the_machine(
    way: str, static_server: StaticServer, open_browser: Callable[..., RealBrowser]
) -> None:
    """However a page asks for tb_browser, it gets the served wheel, and nothing is asked of any other host."""
    browser = open_browser(arguments=static_server.proxy_arguments)
    tab = browser.open(static_server.page("index.html", PAGES[way]))
    browser.until(lambda: tab.page.title() == "tb_browser", "tb_browser is imported", timeout_s=60)
    assert static_server.foreign == []
    assert any(path.startswith("/static/wheels/tb_browser-") for path in static_server.requested)
