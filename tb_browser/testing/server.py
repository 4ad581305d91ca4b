"""A recording Timeback server on a free port: it takes windows as the official one does, fails on request, and tells.

    with TimebackServer() as server:
        address = server.page("/lesson", "<!doctype html>…")     # of one origin with the routes: they have no CORS
        with server.faulty(too_many(retry_after="2")):
            ...
        server.wait_for_windows(1, run_id)
        server.timeline(run_id).assert_active(60_000, within_ms=100)

`TimebackServer(upstream="http://127.0.0.1:8000")` stands in front of a server of yours instead of answering itself:
what it takes is recorded, and the same faults befall it. Everything here may be called from any thread.
"""

import json
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import unquote, urlsplit

from tb_browser.testing._listener import NOT_PASSED_ON, Asked, Listener
from tb_browser.testing.faults import Fault
from tb_browser.testing.timeline import Timeline, Window
from tb_browser.testing.wire import API, Reply, Wire

__all__ = ["Completion", "Exchange", "TimebackServer"]

HEARTBEAT = f"{API}/activity/heartbeat"
SUBMIT = f"{API}/activity/submit"
UPSTREAM_TIMEOUT_S = 60
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00Z")
# The system's own table may lack or contradict these; browsers want modules and WebAssembly typed right.
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".py": "text/x-python; charset=utf-8",
    ".svg": "image/svg+xml",
    ".toml": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
}


@dataclass(frozen=True)
class Exchange:
    """One request to the Timeback routes, on the clock of `time.monotonic()`."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    began_s: float
    ended_s: float | None = None
    """When its answer began to leave; None while it waits."""
    answer: int | str = "under way"
    """The status that the page got, or what it got instead, as "reset"."""
    forwarded: bool = False
    """Whether the server got it."""

    @property
    def content(self) -> Mapping[str, Any]:
        """The body's JSON object; empty if it is none."""
        try:
            content = json.loads(self.body)
        except ValueError:
            return {}
        return cast("Mapping[str, Any]", content) if isinstance(content, dict) else {}

    @property
    def key(self) -> str | None:
        """What the server knows a window by, its run and start; None if this is no heartbeat."""
        content = self.content
        return f"{content.get('runId')}/{content.get('startedAt')}" if self.path == HEARTBEAT else None


@dataclass(frozen=True)
class Completion:
    """One completion as it was taken (protocol.md, POST /activity/submit)."""

    run_id: str
    activity_id: str
    ended_at_ms: int
    metrics: Mapping[str, float]
    """As on the wire: `xpEarned`, `totalQuestions`, …"""
    pct_complete: float | None
    process: bool | None
    email: str | None


class TimebackServer:
    """The server; `url` is its origin and `api` where the Timeback routes are. `wire` is the school that it plays."""

    def __init__(self, wire: Wire | None = None, *, upstream: str | None = None) -> None:
        self.wire = wire or Wire()
        self._upstream = urlsplit(upstream).netloc if upstream else None
        self._changed = threading.Condition()
        self._requests = list[Exchange]()
        self._windows = list[Window]()
        self._duplicates = list[Window]()
        self._completions = list[Completion]()
        self._pages = dict[str, Reply]()
        self._folders = dict[str, Path]()
        self._faults = list[_Spell]()
        self._listener: Listener | None = Listener(self._serve, 0)
        self._port = self._listener.server_port
        self.url = f"http://127.0.0.1:{self._port}"
        self.api = self.url + API

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, and cut every connection."""
        for spell in tuple(self._faults):
            spell.over.set()
        self._stop_listening()

    # What is served beside the routes

    def page(self, path: str, content: str, media_type: str = "text/html; charset=utf-8") -> str:
        """Serve this HTML, or other text, at `path`, such as "/lesson", and return its address."""
        self._pages[path] = Reply(200, content.encode(), {"content-type": media_type})
        return self.url + path

    def folder(self, prefix: str, path: Path) -> None:
        """Serve a folder's files under `prefix`, such as "/static"; "" serves them at the root."""
        if not path.is_dir():
            raise NotADirectoryError(f"cannot serve {path}: it is no folder")
        self._folders[prefix.rstrip("/")] = path.resolve()

    # Who is signed in

    def sign_in(self, email: str | None) -> None:
        """Let every request from now on be of this person; None for nobody, who is answered 401."""
        self.wire.who = lambda _headers: email

    # Faults

    @contextmanager
    def faulty(self, fault: Fault, *, times: int | None = None, route: str = "") -> Generator[None]:
        """Let this befall requests to the Timeback routes while the block runs, the first `times` of them or all.

        `route`, such as "/activity/heartbeat", spares all others. The innermost block that fits is the one that counts.
        """
        spell = _Spell(fault, times, API + route)
        self._faults.append(spell)
        try:
            yield
        finally:
            self._faults.remove(spell)
            spell.over.set()

    @contextmanager
    def down(self) -> Generator[None]:
        """Refuse every connection while the block runs, to the pages too, and cut those that are open."""
        self._stop_listening()
        try:
            yield
        finally:
            self._listener = Listener(self._serve, self._port)

    def forget_windows(self) -> None:
        """Recognise no window any more, as after a restart or after 300 s. What was recorded stays."""
        self.wire.forget_windows()

    def reset(self) -> None:
        """Be as at first: nothing recorded, nothing remembered. Pages and folders stay."""
        with self._changed:
            for kept in (self._requests, self._windows, self._duplicates, self._completions):
                kept.clear()
            self.wire.forget_windows()

    # What arrived

    @property
    def requests(self) -> list[Exchange]:
        """Every request to the Timeback routes, in the order in which they came."""
        with self._changed:
            return list(self._requests)

    @property
    def completions(self) -> list[Completion]:
        """Every completion that was taken, in the order in which they came."""
        with self._changed:
            return list(self._completions)

    def windows(self, run_id: str | None = None) -> list[Window]:
        """Every window that was taken, of this run or of all, in the order in which they came."""
        with self._changed:
            return _of(run_id, self._windows)

    def duplicates(self, run_id: str | None = None) -> list[Window]:
        """Every window that came again and was recognised, so that it counted nothing."""
        with self._changed:
            return _of(run_id, self._duplicates)

    def timeline(self, run_id: str | None = None) -> Timeline:
        """What was taken of this run, or of all, ready to be asked and asserted."""
        with self._changed:
            return Timeline(_of(run_id, self._windows), _of(run_id, self._duplicates))

    def in_flight_twice(self) -> list[str]:
        """The windows, as `run/start`, that were on their way twice at once: the official server counts both."""
        beats = [exchange for exchange in self.requests if exchange.key is not None]
        return [
            str(first.key)
            for i, first in enumerate(beats)
            for later in beats[i + 1 :]
            if later.key == first.key and (first.ended_s is None or later.began_s < first.ended_s)
        ]

    def wait_until(self, holds: Callable[[], bool], what: str, timeout_s: float = 10) -> None:
        """Wait until `holds()`, which is asked whenever something arrives; raises TimeoutError with the drawing."""
        with self._changed:
            if not self._changed.wait_for(holds, timeout_s):
                raise TimeoutError(f"waited {timeout_s:g} s in vain until {what}\n{self.timeline()}")

    def wait_for_windows(self, count: int, run_id: str | None = None, timeout_s: float = 10) -> list[Window]:
        """Wait until so many windows were taken, and return them; raises TimeoutError with the drawing."""
        self.wait_until(lambda: len(self.windows(run_id)) >= count, f"{count} windows had arrived", timeout_s)
        return self.windows(run_id)

    def wait_for_requests(self, count: int, route: str = "", timeout_s: float = 10) -> list[Exchange]:
        """Wait until so many requests to a route, such as "/user/verify", have come; answered or not."""

        def found() -> list[Exchange]:
            return [exchange for exchange in self.requests if exchange.path.startswith(API + route)]

        self.wait_until(lambda: len(found()) >= count, f"{count} requests to {API + route} had come", timeout_s)
        return found()

    # Serving

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.stop()
            self._listener = None

    def _serve(self, asked: Asked) -> None:
        """Answer one request, in a thread of its connection."""
        if not asked.path.startswith(API):
            asked.answer(self._beside(asked))
            return
        with self._changed:
            number = len(self._requests)
            began = Exchange(asked.method, asked.path, asked.headers, asked.body, time.monotonic())
            self._requests.append(began)
            self._changed.notify_all()
        spell = self._befalls(asked.path)
        fault = spell.fault if spell else NO_FAULT
        reply = self._take(asked) if fault.forwards else Reply(502)
        if spell and fault.hangs:
            spell.over.wait()
        elif fault.delay_s:
            time.sleep(fault.delay_s)
        if fault.hangs or fault.resets:
            self._end(number, began, "reset", forwarded=fault.forwards)
            asked.reset()
        elif fault.raw is not None:
            self._end(number, began, "raw", forwarded=fault.forwards)
            asked.answer_raw(fault.raw)
        else:
            reply = fault.reply or reply
            self._end(number, began, reply.status, forwarded=fault.forwards)
            asked.answer(reply)

    def _befalls(self, path: str) -> "_Spell | None":
        with self._changed:
            for spell in reversed(self._faults):
                if path.startswith(spell.prefix) and spell.left != 0:
                    spell.left = None if spell.left is None else spell.left - 1
                    return spell
        return None

    def _end(self, number: int, began: Exchange, answer: int | str, *, forwarded: bool) -> None:
        """Note an answer before it leaves: a browser that is cut off asks again at once."""
        with self._changed:
            if number < len(self._requests) and self._requests[number] is began:  # else it was forgotten meanwhile
                self._requests[number] = replace(began, ended_s=time.monotonic(), answer=answer, forwarded=forwarded)
                self._changed.notify_all()

    def _take(self, asked: Asked) -> Reply:
        """Let the server answer, and record what it took."""
        if self._upstream is not None:
            reply = _ask(self._upstream, asked)
            self._record(asked, reply)
            return reply
        with self._changed:  # two at once never take one window twice here, unlike at the official server
            reply = self.wire.answer(asked.method, asked.path, asked.headers, asked.body, time.monotonic())
            self._record(asked, reply)
        return reply

    def _record(self, asked: Asked, reply: Reply) -> None:
        if asked.method != "POST" or reply.status not in (200, 204):
            return
        sent = json.loads(asked.body)
        email = None if self._upstream else self.wire.who(asked.headers)
        with self._changed:
            if asked.path == HEARTBEAT:
                window = _window(sent, email)
                (self._windows if reply.status == 204 else self._duplicates).append(window)
            elif asked.path == SUBMIT:
                self._completions.append(_completion(sent, email))
            self._changed.notify_all()

    def _beside(self, asked: Asked) -> Reply:
        """Pages and files; with an upstream, all else is its own."""
        path = unquote(asked.path.partition("?")[0])
        if asked.method in ("GET", "HEAD"):
            if path in self._pages:
                return self._pages[path]
            for prefix, folder in sorted(self._folders.items(), reverse=True):
                file = (folder / path.removeprefix(prefix).lstrip("/")).resolve()
                if path.startswith(f"{prefix}/") and file.is_relative_to(folder):
                    file = file / "index.html" if file.is_dir() else file
                    if file.is_file():
                        kind = MEDIA_TYPES.get(file.suffix, "application/octet-stream")
                        return Reply(200, file.read_bytes(), {"content-type": kind, "cache-control": "no-cache"})
        if self._upstream is not None:
            return _ask(self._upstream, asked)
        return Reply(404, b"Not Found", {"content-type": "text/plain"})


NO_FAULT = Fault("none", forwards=True)


class _Spell:
    """A fault while it lasts."""

    def __init__(self, fault: Fault, times: int | None, prefix: str) -> None:
        self.fault, self.left, self.prefix = fault, times, prefix
        self.over = threading.Event()


def _of(run_id: str | None, windows: list[Window]) -> list[Window]:
    return [window for window in windows if run_id in (None, window.run_id)]


def _window(sent: Mapping[str, Any], email: str | None) -> Window:
    return Window(
        run_id=sent["runId"],
        started_at_ms=_ms(sent["startedAt"]),
        ended_at_ms=_ms(sent["endedAt"]),
        active_ms=sent["elapsedMs"],
        inactive_ms=sent["pausedMs"],
        arrived_at_ms=time.time() * 1000,
        activity_id=sent["id"],
        email=email,
    )


def _completion(sent: Mapping[str, Any], email: str | None) -> Completion:
    return Completion(
        run_id=sent["runId"],
        activity_id=sent["id"],
        ended_at_ms=_ms(sent["endedAt"]),
        metrics=sent["metrics"],
        pct_complete=sent.get("pctComplete"),
        process=sent.get("process"),
        email=email,
    )


def _ms(iso: str) -> int:
    return (datetime.fromisoformat(iso) - EPOCH) // timedelta(milliseconds=1)


def _ask(netloc: str, asked: Asked) -> Reply:
    """Pass a request on; 502 if nobody answers."""
    connection = HTTPConnection(netloc, timeout=UPSTREAM_TIMEOUT_S)
    headers = {name: value for name, value in asked.headers.items() if name not in NOT_PASSED_ON}
    try:
        connection.request(asked.method, asked.path, asked.body, headers)
        response = connection.getresponse()
        kept = [(name, value) for name, value in response.getheaders() if name.lower() not in NOT_PASSED_ON]
        return Reply(response.status, response.read(), kept)
    except (OSError, HTTPException):
        return Reply(502)
    finally:
        connection.close()
