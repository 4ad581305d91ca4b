"""The site under test: the demo's app on the official server package, and a bare page with Python in it."""

import json
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from playwright.sync_api import Page
from starlette.responses import HTMLResponse

from demo.platform import PlatformStandIn
from demo.platform_events import PlatformEvent
from demo.server import create_app
from demo.serving import serve

PYTHON_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Python</title><link rel="icon" href="data:,"></head>
<body>
<script type="module">
  import { loadPyodide } from "/static/pyodide/pyodide.mjs";
  const pyodide = await loadPyodide();
  await pyodide.loadPackage("tb-browser", { messageCallback() {} });
  globalThis.pyodide = pyodide;
  document.body.dataset.ready = "yes";
</script>
</body></html>
"""

READY_TIMEOUT_S = 60

START = """
from tb_browser import create_client
errors = []
timeback = create_client()
activity = timeback.activity.start(
    id="lesson-1", name="Fractions", course={"subject": "Math", "grade": 3},
    on_error=lambda error, context: errors.append(str(error)), **OPTIONS
)
activity.run_id
"""


@dataclass
class Site:
    """A running site: its address, and what the platform behind the official server received."""

    url: str
    platform: PlatformStandIn = field(default_factory=PlatformStandIn)

    def times(self, run_id: str) -> list[PlatformEvent]:
        """The time-spent events of a run, in order of arrival."""
        return [event for event in self.platform.events_of(run_id) if event.kind == "time_spent"]

    def active_s(self, run_id: str) -> float:
        """All active seconds that arrived for a run."""
        return sum(event.active_seconds or 0 for event in self.times(run_id))

    def inactive_s(self, run_id: str) -> float:
        """All inactive seconds that arrived for a run."""
        return sum(event.inactive_seconds or 0 for event in self.times(run_id))

    def wait_for_times(self, run_id: str, count: int, timeout_s: float = 10) -> list[PlatformEvent]:
        """Wait until so many time-spent events of a run have arrived."""
        self.platform.wait_for(lambda _events: len(self.times(run_id)) >= count, timeout_s)
        return self.times(run_id)


@contextmanager
def running_site() -> Iterator[Site]:
    """Serve the demo and the bare Python page on a free port."""
    platform = PlatformStandIn()
    app = create_app(database=":memory:", platform=platform)

    async def python_page(_request: object) -> HTMLResponse:
        return HTMLResponse(PYTHON_PAGE)

    app.add_route("/python", python_page)
    with serve(app) as url:
        yield Site(url, platform)


class PythonPage:
    """A page in which Python runs; `run()` executes code there and returns its last value."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page = page
        self.site = site

    def open(self) -> Self:
        """Load the page and wait until tb_browser can be imported."""
        self.page.goto(f"{self.site.url}/python")
        self.wait_ready()
        return self

    def wait_ready(self) -> None:
        """Wait until Python runs; works in hidden tabs too, where no frame is ever drawn."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self.page.evaluate("document.body?.dataset.ready === 'yes'"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"Python did not run within {READY_TIMEOUT_S} s")
            self.page.wait_for_timeout(50)

    def run(self, code: str) -> Any:
        """Run Python code in the page; await is allowed at its top level."""
        return self.page.evaluate(
            """async (code) => {
                const value = await pyodide.runPythonAsync(code);
                return value?.toJs ? value.toJs({ dict_converter: Object.fromEntries }) : value;
            }""",
            textwrap.dedent(code),
        )

    def start(self, **options: object) -> str:
        """Start the lesson's activity and return its run_id; `activity` and `timeback` are globals in the page."""
        literal = f"import json\nOPTIONS = json.loads({json.dumps(json.dumps(options))})\n"
        return str(self.run(literal + START))
