"""The site under test: the demo's app on the official server, a bare page with Python, and the harness in front."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

from playwright.sync_api import Page
from starlette.requests import Request
from starlette.responses import Response

from demo.assets import Assets
from demo.platform import PlatformStandIn
from demo.platform_directory import STUDENT, User
from demo.platform_events import PlatformEvent
from demo.server import create_app
from demo.serving import serve
from static.notebooks import NOTEBOOKS
from tb_browser.testing import Exchange, TimebackServer
from tb_browser.testing.pages import PYTHON_RUNS, pyodide_page, run_python

OTHER_STUDENT = User("student-2", "olga.other@example.com", "Olga", "Other")
ELSEWHERE = '<!doctype html><title>Elsewhere</title><link rel="icon" href="data:,">'
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

OBSERVE_LIFE = """
globalThis.life = {seen: []};
const at = event => performance.timeOrigin + event.timeStamp;
document.addEventListener(
    "visibilitychange", event => life.seen.push([at(event), document.visibilityState === "visible"]), true);
addEventListener("pagehide", event => {
    life.left = at(event);
    navigator.sendBeacon("/told", JSON.stringify(life));
}, true);
"""
"""An observer that knows nothing of tb_browser: every change of visibility, and the leaving, in ms since 1970."""


class Site:
    """A running site; `server` records what its pages send and fails on request, `platform` is behind the official one.

    Beside the demo it has `/python`, a bare page with Python in it, and `/elsewhere`. Made by `running_site()`.
    """

    def __init__(self) -> None:
        self.platform = PlatformStandIn([STUDENT, OTHER_STUDENT])
        self.email: str | None = STUDENT.email
        """Who is signed in; None for nobody."""
        self.truth = dict[str, dict[str, Any]]()
        """What the observers on the pages reported, by run."""
        self.told = list[dict[str, Any]]()
        """What pages have told of themselves on leaving, by `OBSERVE_LIFE`."""
        self._official = ExitStack()
        self._upstream = self._official.enter_context(serve(self._app()))
        self.server = TimebackServer(upstream=self._upstream)
        self.server.page("/python", pyodide_page())
        self.server.page("/elsewhere", ELSEWHERE)
        self.url = self.server.url

    def close(self) -> None:
        """Stop both servers."""
        self.server.close()
        self._official.close()

    @contextmanager
    def stopped_server(self) -> Iterator[None]:
        """Stop the official server (502 for whoever asks) and start it anew: what it remembered is gone."""
        self._official.close()
        try:
            yield
        finally:
            self._official.enter_context(serve(self._app(), port=urlsplit(self._upstream).port or 0))

    def forget(self) -> None:
        """Be as at first: nothing received, nothing recorded, the first student signed in."""
        self.platform.reset()
        self.server.reset()
        self.email = STUDENT.email
        self.truth.clear()
        self.told.clear()

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

    def heartbeats(self, run_id: str) -> list[Exchange]:
        """Every heartbeat of a run that a page has sent, in order, whatever became of it."""
        return [each for each in self.server.requests if each.key is not None and each.content["runId"] == run_id]

    def _app(self) -> Any:
        app = create_app(database=":memory:", platform=self.platform, get_email=lambda _request: self.email)

        async def note_truth(request: Request) -> Response:
            said = await request.json()
            self.truth[said["run"]] = said
            return Response(status_code=204)

        async def note_told(request: Request) -> Response:
            self.told.append(await request.json())
            return Response(status_code=204)

        app.mount("/notebooks", Assets(directory=NOTEBOOKS, html=True, check_dir=False))
        app.add_route("/told", note_told, methods=["POST"])
        app.add_route("/truth", note_truth, methods=["POST"])
        return app


@contextmanager
def running_site() -> Iterator[Site]:
    """Serve the site on a free port."""
    site = Site()
    try:
        yield site
    finally:
        site.close()


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
        while not self.page.evaluate(f"Boolean({PYTHON_RUNS})"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"Python did not run within {READY_TIMEOUT_S} s")
            self.page.wait_for_timeout(50)

    def run(self, code: str) -> Any:
        """Run Python code in the page; await is allowed at its top level."""
        return run_python(self.page, code)

    def start(self, **options: object) -> str:
        """Start the lesson's activity and return its run_id; `activity` and `timeback` are globals in the page."""
        literal = f"import json\nOPTIONS = json.loads({json.dumps(json.dumps(options))})\n"
        return str(self.run(literal + START))
