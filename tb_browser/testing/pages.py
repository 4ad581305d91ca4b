"""Pages with Python in them: any HTML, a snippet for PyScript or Pyodide, on the page or in a worker; JupyterLite.

All parts come from one folder, as `static/` of the tb_browser repository assembles it: `pyodide/` with the wheels and a
lock that names them, `pyscript/`, and `wheels/` with tb_browser's own. Nothing is asked of any other host.
"""

import html
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tb_browser.testing.browser import RealBrowser, RealTab
from tb_browser.testing.clock import PageClock
from tb_browser.testing.console import Console
from tb_browser.testing.notebooks import NotebookPage, serve_jupyterlite
from tb_browser.testing.server import TimebackServer

__all__ = ["PYTHON_RUNS", "PythonPage", "PythonPages", "check_static", "pyodide_page", "run_python"]

NEEDED = ("pyodide/pyodide.mjs", "pyodide/pyodide-lock.json", "pyscript/core.js", "wheels/tb_browser-*.whl")
PYTHON_RUNS = "globalThis.tbPythonRuns"
"""True in the page's JavaScript once Python runs there."""
START_TIMEOUT_S = 60
LITE_LOOKS_FOR_FILES = r"^Failed to load resource.*/jupyterlite/"  # its own, that a site may have or not
DELIVERY_FAILS = r"^Failed to load resource.*/api/timeback/"
PACKAGES = ("tb-browser",)

# PyScript tells on the element when Python is about to run its code.
NOTE_READY = 'addEventListener("py:ready", () => { globalThis.tbPythonRuns = true; }, true);'

HEAD = '<meta charset="utf-8"><title>Python</title><link rel="icon" href="data:,">'

PYODIDE = """<!doctype html><html lang="en"><head>%s</head><body>%s
<script type="module">
  import { loadPyodide } from "/static/pyodide/pyodide.mjs";
  const pyodide = globalThis.pyodide = await loadPyodide();
  await pyodide.loadPackage(%s, { messageCallback() {} });
  globalThis.tbPythonRuns = true;
  await pyodide.runPythonAsync(%s);
</script></body></html>"""

# The hook keeps the interpreter for `run()`.
PYSCRIPT = """<!doctype html><html lang="en"><head>%s
<link rel="stylesheet" href="/static/pyscript/core.css">
<script type="module">
  import { hooks } from "/static/pyscript/core.js";
  hooks.main.onReady.add(({ interpreter }) => { globalThis.pyodide = interpreter; });
</script></head><body>%s
<script type="py" config='%s'>
%s
</script></body></html>"""

WORKER = """<!doctype html><html lang="en"><head>%s</head><body>%s
<script type="module">
  const source = `
    import { loadPyodide } from "${location.origin}/static/pyodide/pyodide.mjs";
    const pyodide = await loadPyodide();
    await pyodide.loadPackage(%s, { messageCallback() {} });
    self.onmessage = async ({ data: [code, port] }) => {
      try {
        const value = await pyodide.runPythonAsync(code);
        port.postMessage([value?.toJs ? value.toJs({ dict_converter: Object.fromEntries }) : value, null]);
      } catch (error) { port.postMessage([null, String(error)]); }
    };
    self.postMessage("ready");`;
  const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })), { type: "module" });
  globalThis.tbWorkerRun = (code) => new Promise((done, failed) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data: [value, error] }) => { port1.close(); error ? failed(new Error(error)) : done(value); };
    worker.postMessage([code, port2], [port2]);
  });
  worker.onmessage = () => { globalThis.tbPythonRuns = true; tbWorkerRun(%s); };
</script></body></html>"""

NEXT_TASK = """new Promise(done => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => { port1.close(); done(); };
    port2.postMessage(0);
})"""

RUN = """async (code) => {
    if (globalThis.tbWorkerRun) return tbWorkerRun(code);
    const value = await pyodide.runPythonAsync(code);
    return value?.toJs ? value.toJs({ dict_converter: Object.fromEntries }) : value;
}"""


def check_static(folder: Path) -> Path:
    """Return the folder if every part is in it; raises FileNotFoundError, one line that says what to do."""
    missing = [name for name in NEEDED if not any(folder.glob(name))]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}; run 'python3 -m demo' once in a checkout of tb_browser, and name "
            "its folder static/dist in tb_browser_static (pytest's configuration) or TB_BROWSER_STATIC."
        )
    return folder


class PythonPage(RealTab):
    """A tab with Python in it, served by `server`; `clock` drives its time if it was opened so."""

    def __init__(self, browser: RealBrowser, page: Page, server: TimebackServer) -> None:
        super().__init__(browser, page)
        self.server = server
        self._clock: PageClock | None = None

    @property
    def clock(self) -> PageClock:
        """The page's clocks. Raises RuntimeError unless the page was opened with `driven_clock=True`."""
        if self._clock is None:
            raise RuntimeError("this page's clock runs by itself: open it with driven_clock=True")
        return self._clock

    def drive_clock(self) -> None:
        """Take the clock over; only before the page is loaded."""
        self._clock = PageClock(self.page, self._deliver)

    def run(self, code: str) -> Any:
        """Run Python in the page, or in its worker; await is allowed at the top level. Returns the last value.

        Works on pages made from a snippet; a page of your own needs its interpreter in `globalThis.pyodide`.
        """
        return run_python(self.page, code)

    def _deliver(self) -> None:
        """Wait until every request to the server is answered and the page has been told."""
        self.browser.until(self._all_answered, "every request is answered")

    def _all_answered(self) -> bool:
        def answered() -> bool:
            return all(exchange.ended_s is not None for exchange in self.server.requests)

        if not answered():
            return False
        self.page.evaluate(NEXT_TASK)  # the page deals with the answer, and may ask again
        return answered()


class PythonPages:
    """Opens pages of one server in one browser; each method returns once Python runs there.

    While it waits, any complaint in the page's console that is not expected ends the wait with an AssertionError.
    """

    def __init__(
        self, browser: Callable[[], RealBrowser], server: TimebackServer, console: Console, static: Path
    ) -> None:
        self._browser = browser
        self._server = server
        self._console = console
        self._static = check_static(static)
        self._made = 0
        server.folder("/static", static)
        console.expect(DELIVERY_FAILS)

    def html(self, page: str, *, until: str = PYTHON_RUNS, driven_clock: bool = False) -> PythonPage:
        """Open a page of your own; Python runs as soon as the JavaScript expression `until` is true.

        Left out, that is when PyScript is about to run the page's code.
        """
        self._made += 1
        return self.url(self._server.page(f"/page-{self._made}", page), until=until, driven_clock=driven_clock)

    def url(self, url: str, *, until: str = PYTHON_RUNS, driven_clock: bool = False) -> PythonPage:
        """Open an address, such as of a page that `timeback_server.folder()` serves or an upstream has."""
        browser = self._browser()
        tab = PythonPage(browser, browser.context.new_page(), self._server)
        tab.page.add_init_script(NOTE_READY)
        if driven_clock:
            tab.drive_clock()
        tab.page.goto(url)

        def runs() -> bool:
            assert self._console.unexpected() == []  # noqa: S101 - the failure of a test
            return bool(tab.page.evaluate(f"Boolean({until})"))

        browser.until(runs, f"{until} holds on {url}", START_TIMEOUT_S)
        return tab

    def pyodide(
        self, code: str = "", *, body: str = "", packages: Iterable[str] = PACKAGES, driven_clock: bool = False
    ) -> PythonPage:
        """Open a page that runs this code with Pyodide, beside this HTML; await is allowed at the top level."""
        return self.html(pyodide_page(code, body=body, packages=packages), driven_clock=driven_clock)

    def pyscript(
        self, code: str = "", *, body: str = "", packages: Iterable[str] = PACKAGES, driven_clock: bool = False
    ) -> PythonPage:
        """Open a page with this code in `<script type="py">`, beside this HTML."""
        config = json.dumps({"interpreter": "/static/pyodide/pyodide.mjs", "packages": list(packages)})
        source = PYSCRIPT % (HEAD, body, html.escape(config), _in_script(textwrap.dedent(code)))
        return self.html(source, driven_clock=driven_clock)

    def worker(self, code: str = "", *, body: str = "", packages: Iterable[str] = PACKAGES) -> PythonPage:
        """Open a page whose worker runs this code with Pyodide, as notebook kernels do; `run()` runs there too."""
        in_template = _literal(list(packages)).replace("`", "\\`")
        return self.html(WORKER % (HEAD, body, in_template, _literal(textwrap.dedent(code))))

    def jupyterlite(self, notebook: str | Sequence[str], *, site: Path | None = None) -> NotebookPage:
        """Open a notebook of a JupyterLite site by its path in the site, or one of these code cells.

        The site is a folder as `jupyter lite build` writes it; left out, it is the one that tb_browser's
        `python3 -m static` builds, `build/lite/` beside the folder of the other parts.
        """
        url = serve_jupyterlite(self._server, site or self._static.parent / "build" / "lite", notebook)
        self._console.expect(LITE_LOOKS_FOR_FILES)
        browser = self._browser()
        tab = NotebookPage(browser, browser.context.new_page())
        tab.page.goto(url)
        tab.page.locator(".jp-CodeCell").first.wait_for(timeout=START_TIMEOUT_S * 1000)
        return tab


def pyodide_page(code: str = "", *, body: str = "", packages: Iterable[str] = PACKAGES) -> str:
    """The HTML of a page that runs this code with the Pyodide under /static/, beside the HTML of `body`."""
    return PYODIDE % (HEAD, body, _literal(list(packages)), _literal(textwrap.dedent(code)))


def run_python(page: Page, code: str) -> Any:
    """Run Python in any page that has its interpreter in `globalThis.pyodide`; returns the last value.

    Await is allowed at the top level, and a dict comes back as one. In a page of `PythonPages.worker()` it runs there.
    """
    return page.evaluate(RUN, textwrap.dedent(code))


def _literal(value: object) -> str:
    """As JavaScript, safe within a <script>."""
    return json.dumps(value).replace("</", "<\\/")


def _in_script(code: str) -> str:
    if re.search(r"</script", code, re.IGNORECASE):
        raise ValueError("the code contains </script, which ends the element it stands in: write '<' + '/script'")
    return code
