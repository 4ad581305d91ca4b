"""The same client in an ordinary Python process, against a real server on a real socket."""

import asyncio
import atexit
import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import tb_browser
from tb_browser import Activity, Receipt, TimebackError, UnavailableError, UnreachableError, bearer, create_client

ROOT = Path(tb_browser.__file__).parents[1]
LESSON: dict[str, Any] = {"id": "fractions-1", "name": "Fractions", "course": {"subject": "Math", "grade": 3}}
RETRY = {"first_ms": 1, "max_ms": 2}


class Timeback(ThreadingHTTPServer):
    """Plays the server's two routes; answers with the next of `statuses`, and with 204 when there is none left."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses = list[int]()
        self.elsewhere = ""
        """Where every window is redirected to, if anywhere."""
        self.windows = list[dict[str, Any]]()
        self.seen = list[tuple[str, str, str | None, str | None]]()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api/timeback"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def timeback(self) -> Timeback:
        assert isinstance(self.server, Timeback)
        return self.server

    def do_GET(self) -> None:
        self.note()
        self.reply(200, b'{"verified":true,"timebackId":"student-1"}')

    def do_POST(self) -> None:
        self.note()
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status = self.timeback.statuses.pop(0) if self.timeback.statuses else 307 if self.timeback.elsewhere else 204
        if status == 204:
            self.timeback.windows.append(body)
        self.reply(status)

    def note(self) -> None:
        headers = self.headers
        self.timeback.seen.append((self.command, self.path, headers["authorization"], headers["content-type"]))

    def reply(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        if status == 307:
            self.send_header("location", f"{self.timeback.elsewhere}/activity/heartbeat")
        if status != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def server() -> Iterator[Timeback]:
    with Timeback() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def touches(windows: list[dict[str, Any]]) -> bool:
    """Whether each window begins where the one before it ended."""
    return all(a["endedAt"] == b["startedAt"] for a, b in pairwise(windows))


async def some_windows(server: Timeback, number: int) -> None:
    """Wait until so many windows have arrived."""
    async with asyncio.timeout(10):
        while len(server.windows) < number:  # noqa: ASYNC110 - the server lives in another thread
            await asyncio.sleep(0.005)


def test_windows_arrive_by_themselves_and_end_flushes(server: Timeback) -> None:
    """Heartbeats leave on their own rhythm; `end()` delivers the last window; they touch, and add up."""

    async def lesson() -> Receipt:
        async with create_client(base_url=server.base_url, user_key="student") as timeback:
            activity = timeback.activity.start(**LESSON, time={"heartbeat_ms": 40})
            await some_windows(server, 2)
            return await activity.end()

    receipt = asyncio.run(lesson())
    assert receipt.delivered
    assert len(server.windows) >= 3
    assert touches(server.windows)
    assert sum(window["elapsedMs"] for window in server.windows) == receipt.active_ms
    assert {window["runId"] for window in server.windows} == {receipt.run_id}
    assert {seen[:2] for seen in server.seen} == {("POST", "/api/timeback/activity/heartbeat")}
    assert {seen[3] for seen in server.seen} == {"application/json"}


def test_without_a_user_key_the_server_is_asked_once(server: Timeback) -> None:
    """Who is signed in is asked in the background, with the same authorization as everything else."""

    async def lesson() -> None:
        async with create_client(base_url=server.base_url, auth=bearer(lambda: "token")) as timeback:
            timeback.activity.start(**LESSON, time={"heartbeat_ms": 20})
            await some_windows(server, 3)

    asyncio.run(lesson())
    assert [seen[1] for seen in server.seen].count("/api/timeback/user/verify") == 1
    assert {seen[2] for seen in server.seen} == {"Bearer token"}


def test_a_failing_server_is_tried_again(server: Timeback) -> None:
    """After two failures the window arrives all the same, unchanged in its sum; one error is told."""
    told = list[TimebackError]()
    server.statuses = [503, 500]

    async def lesson() -> Receipt:
        async with create_client(base_url=server.base_url, user_key="student") as timeback:
            activity = timeback.activity.start(
                **LESSON, time={"heartbeat_ms": 20, "retry": RETRY}, on_error=lambda error, _context: told.append(error)
            )
            await some_windows(server, 1)
            return await activity.end()

    receipt = asyncio.run(lesson())
    assert receipt.delivered
    assert sum(window["elapsedMs"] for window in server.windows) == receipt.active_ms
    assert [type(error) for error in told] == [UnavailableError]


def test_a_server_that_is_not_there_is_no_exception() -> None:
    """Nobody listens: `end()` returns, says that nothing was delivered, and `on_error` has heard."""
    told = list[TimebackError]()
    with Timeback() as closed:
        base_url = closed.base_url

    async def lesson() -> Receipt:
        async with create_client(base_url=base_url, user_key="student") as timeback:
            activity = timeback.activity.start(**LESSON, on_error=lambda error, _context: told.append(error))
            await asyncio.sleep(0.01)
            return await activity.end()

    receipt = asyncio.run(lesson())
    assert (receipt.delivered, receipt.waiting) == (False, 1)
    assert [type(error) for error in told] == [UnreachableError]


def test_an_activity_started_before_the_loop_loses_nothing(server: Timeback) -> None:
    """Without a running loop time is kept; `flush()` and `end()` send all of it."""
    timeback = create_client(base_url=server.base_url, user_key="student")
    activity = timeback.activity.start(**LESSON, time={"heartbeat_ms": 20})
    time.sleep(0.03)
    activity.pause()
    activity.resume()
    assert activity.total_active_ms >= 30

    async def lesson() -> Receipt:
        async with timeback:
            await activity.flush()
            await asyncio.sleep(0.03)
            return await activity.end()

    receipt = asyncio.run(lesson())
    assert receipt.delivered
    assert activity.stats.lost == {}
    assert touches(server.windows)
    sent_ms = sum(window["elapsedMs"] + window["pausedMs"] for window in server.windows)
    assert 0 <= sent_ms - receipt.active_ms - receipt.inactive_ms <= 1  # both of the receipt's are whole numbers


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_client_serves_several_loops(server: Timeback) -> None:
    """A script that calls `asyncio.run` for each step delivers at each step, also what could not be sent before."""
    timeback = create_client(base_url=server.base_url, user_key="student")

    async def begin() -> Activity:
        return timeback.activity.start(**LESSON, time={"retry": {"first_ms": 60_000}})

    async def step() -> bool:
        await asyncio.sleep(0.005)
        return (await activity.flush()).delivered

    async def finish() -> Receipt:
        async with timeback:
            return await activity.end()

    activity = asyncio.run(begin())
    assert [asyncio.run(step()) for _ in range(2)] == [True, True]
    server.statuses = [503]
    assert not asyncio.run(step())
    receipt = asyncio.run(finish())
    gc.collect()  # connections of loops that are gone are let go here, where their warnings are expected
    assert receipt.delivered
    assert touches(server.windows)
    assert sum(window["elapsedMs"] for window in server.windows) == receipt.active_ms


class Exit:
    """Stands for the interpreter's end: what is registered for it, called when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = list[Callable[[], object]]()
        monkeypatch.setattr(atexit, "register", self.calls.append)
        monkeypatch.setattr(atexit, "unregister", self.calls.remove)


def test_after_the_end_nothing_is_left_for_the_exit(server: Timeback, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has ended is not sent a second time on the way out: nothing waits for the interpreter's end."""
    at_exit = Exit(monkeypatch)

    async def lesson() -> None:
        async with create_client(base_url=server.base_url, user_key="student") as timeback:
            activity = timeback.activity.start(**LESSON)
            assert len(at_exit.calls) == 1
            await asyncio.sleep(0.005)
            await activity.end()
            assert at_exit.calls == []

    asyncio.run(lesson())
    assert len(server.windows) == 1


def test_an_exit_whose_server_is_gone_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens at exit: the interpreter goes, without a traceback."""
    at_exit = Exit(monkeypatch)
    with Timeback() as closed:
        base_url = closed.base_url
    activity = create_client(base_url=base_url, user_key="student").activity.start(**LESSON)
    time.sleep(0.005)
    for call in at_exit.calls:
        call()
    assert activity.stats.waiting == 1


def run_script(script: str, base_url: str) -> subprocess.CompletedProcess[str]:
    unclosed = "ignore::ResourceWarning"  # a script that leaves its client open is asked no more than that it works
    command = [sys.executable, "-W", "error", "-W", unclosed, "-c", script, base_url]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


START = """
import asyncio, sys, time
from tb_browser import create_client
timeback = create_client(base_url=sys.argv[1], user_key="student")
course = {"subject": "Math", "grade": 3}
"""
IN_A_LOOP = """
async def main():
    timeback.activity.start(id="fractions-1", name="Fractions", course=course, run_id="run-1")
    await asyncio.sleep(0.05)
asyncio.run(main())
"""
WITHOUT_A_LOOP = """
timeback.activity.start(id="fractions-1", name="Fractions", course=course, run_id="run-1")
time.sleep(0.05)
"""


@pytest.mark.parametrize(
    ("script", "status"),
    [(WITHOUT_A_LOOP + "raise SystemExit(3)", 3), (IN_A_LOOP + "1/0", 1)],
    ids=["without a loop, by sys.exit", "after the loop, by an error"],
)
def test_a_process_that_exits_without_end_delivers_its_last_window(server: Timeback, script: str, status: int) -> None:
    """Whichever way the interpreter goes, what was tracked arrives, and nothing is complained about."""
    run = run_script(START + script, server.base_url)
    assert run.returncode == status
    assert run.stdout == ""
    assert run.stderr == "" or status == 1
    (window,) = server.windows
    assert window["runId"] == "run-1"
    assert 45 <= window["elapsedMs"] < 30_000
    assert window["pausedMs"] == 0


@pytest.mark.parametrize("statuses", [[], [503]])
def test_a_script_without_a_loop_ends_blocking(server: Timeback, statuses: list[int]) -> None:
    """Plain `with` needs no event loop: what could be delivered is when it is over, and a fault raises nothing."""
    server.statuses = [*statuses]
    timeback = create_client(base_url=server.base_url, auth=bearer(lambda: "token"), user_key="student")
    with timeback.activity.start(**LESSON) as activity:
        time.sleep(0.01)
    receipt = activity.end_sync()
    assert (receipt.delivered, receipt.waiting) == (not statuses, len(statuses))
    assert len(server.windows) == receipt.delivered
    assert [seen[2] for seen in server.seen] == ["Bearer token"]


def test_a_blocking_end_meets_nobody() -> None:
    """Nobody listens: the window waits, and it is sure that it has not arrived."""
    with Timeback() as closed:
        base_url = closed.base_url
    activity = create_client(base_url=base_url, user_key="student").activity.start(**LESSON)
    time.sleep(0.005)
    assert activity.end_sync().waiting == 1


def test_a_token_follows_no_redirection(server: Timeback) -> None:
    """A server that sends us elsewhere does not get the token carried there; the window is kept."""

    async def end(timeback: tb_browser.Timeback, activity: Activity) -> Receipt:
        async with timeback:
            return await activity.end()

    with Timeback() as other:
        server.elsewhere = other.base_url
        for blocking in (True, False):
            timeback = create_client(base_url=server.base_url, auth=bearer(lambda: "token"), user_key="student")
            activity = timeback.activity.start(**LESSON)
            time.sleep(0.005)
            receipt = activity.end_sync() if blocking else asyncio.run(end(timeback, activity))
            assert receipt.waiting == 1
        other.timeout = 0
        other.handle_request()  # whoever had come would be answered now
    assert other.seen == []
    assert len(server.seen) == 2
