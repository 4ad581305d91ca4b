"""A proxy in front of the official server that fails on request, and keeps a log of what passed.

The page and its parts come through it too, so that all is one origin; its faults meet `/api/timeback` alone. Only
`down()` meets everything: then nobody listens at all.
"""

import json
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, override
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse

from demo.platform import PlatformStandIn
from demo.platform_directory import STUDENT, User
from demo.server import create_app
from demo.serving import serve
from tests.browser.site import PYTHON_PAGE, Site

API = "/api/timeback"
OTHER_STUDENT = User("student-2", "olga.other@example.com", "Olga", "Other")
NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass(frozen=True)
class Reply:
    """What the page is answered."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Fault:
    """What befalls a request: whether the server gets it, and what the page gets."""

    name: str
    forwards: bool = False
    delay_s: float = 0
    hangs: bool = False
    """Nothing comes until the fault is over; then the connection is reset."""
    resets: bool = False
    raw: bytes | None = None
    """Bytes instead of an HTTP answer; then the connection is closed."""
    reply: Reply | None = None


def answering(status: int, code: str = "", **headers: str) -> Fault:
    """A server, or something in front of it, that answers with this status in the official server's form."""
    body = json.dumps({"error": {"code": code, "message": f"played {status}"}} if code else {"detail": "Not Found"})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(str(status), reply=Reply(status, body.encode(), {"content-type": "application/json", **named}))


SLOW = Fault("slow", forwards=True, delay_s=1.0)
HANG = Fault("hanging", hangs=True)
RESET_BEFORE = Fault("reset before the server", resets=True)
RESET_AFTER = Fault("reset after the server", forwards=True, resets=True)
HTML = Fault(
    "HTML 200", reply=Reply(200, b"<!doctype html><title>Wi-Fi: sign in</title>", {"content-type": "text/html"})
)
JUNK = Fault("junk 200", reply=Reply(200, bytes(range(256)), {"content-type": "application/json"}))
NO_HTTP = Fault("no HTTP", raw=b"\x00\x01garbage\r\n\r\n")
CUT_OFF = Fault("cut off", raw=b'HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n{"dupl')
STATUS_401 = answering(401, "UNAUTHORIZED")
STATUS_404_USER = answering(404, "USER_RESOLUTION_FAILED")
STATUS_404_ROUTE = answering(404)
STATUS_429 = answering(429, "RATE_LIMITED", retry_after="1")
STATUS_500 = answering(500, "INTERNAL_ERROR")
STATUS_503 = answering(503, "UNAVAILABLE")


@dataclass(frozen=True)
class Exchange:
    """One request to the Timeback routes, on the clock of `time.monotonic()`."""

    path: str
    body: Mapping[str, Any]
    began_s: float
    ended_s: float | None = None
    answer: int | str = "under way"
    """The status that the page got, or what it got instead."""
    forwarded: bool = False

    @property
    def key(self) -> str | None:
        """What the official server knows a window by; None if this is no heartbeat."""
        return f"{self.body['runId']}/{self.body['startedAt']}" if "startedAt" in self.body else None


class FaultySite(Site):
    """The official server with the faulty proxy in front; `url` is the proxy's. Made by `running_faulty_site()`."""

    def __init__(self) -> None:
        super().__init__("", PlatformStandIn([STUDENT, OTHER_STUDENT]))
        self.email: str | None = STUDENT.email
        """Who is signed in; None for nobody."""
        self.truth = dict[str, dict[str, Any]]()
        """What the observers on the pages reported, by run."""
        self.exchanges = list[Exchange]()
        self._fault: Fault | None = None
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._server_stack = ExitStack()
        self._upstream = ""
        self._listener: _Listener | None = None
        self._port = 0

    # --- faults ---

    @contextmanager
    def faulty(self, fault: Fault) -> Iterator[None]:
        """Let this befall every request to the Timeback routes while the block runs."""
        self._fault, self._over = fault, threading.Event()
        try:
            yield
        finally:
            self._fault = None
            self._over.set()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Refuse every connection while the block runs, and cut those that are open."""
        self._stop_listening()
        try:
            yield
        finally:
            self._listen()

    @contextmanager
    def stopped_server(self) -> Iterator[None]:
        """Stop the official server (the proxy answers 502) and start it anew: what it remembered is gone."""
        self._server_stack.close()
        self._upstream = ""
        try:
            yield
        finally:
            self._start_server()

    # --- what passed ---

    def heartbeats(self, run_id: str) -> list[Exchange]:
        """Every heartbeat of a run that the page has sent, in order."""
        with self._lock:
            return [each for each in self.exchanges if each.key is not None and each.body["runId"] == run_id]

    def together(self, run_id: str) -> list[str]:
        """The windows of a run that were in flight twice at once: there must be none."""
        found = list[str]()
        beats = self.heartbeats(run_id)
        for i, first in enumerate(beats):
            later = (each for each in beats[i + 1 :] if each.key == first.key)
            found += [str(each.key) for each in later if first.ended_s is None or each.began_s < first.ended_s]
        return found

    def forget(self) -> None:
        """Be as at first: nothing received, nothing logged, the first student signed in."""
        self.platform.reset()
        self.email = STUDENT.email
        self.truth.clear()
        with self._lock:
            self.exchanges.clear()

    # --- inside ---

    def _start_server(self) -> None:
        app = create_app(database=":memory:", platform=self.platform, get_email=lambda _request: self.email)

        async def python_page(_request: object) -> HTMLResponse:
            return HTMLResponse(PYTHON_PAGE)

        async def blank(_request: object) -> HTMLResponse:
            return HTMLResponse("<!doctype html><title>Elsewhere</title><link rel=icon href=data:,>")

        app.add_route("/python", python_page)
        app.add_route("/elsewhere", blank)
        self._upstream = urlsplit(self._server_stack.enter_context(serve(app))).netloc

    def _listen(self) -> None:
        self._listener = _Listener(self, self._port)
        self._port = self._listener.server_port
        self.url = f"http://127.0.0.1:{self._port}"
        threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True).start()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.shutdown()
            self._listener.server_close()
            self._listener.cut_all()
            self._listener = None

    def _note_truth(self, body: bytes) -> Reply:
        said = json.loads(body)
        self.truth[said["run"]] = said
        return Reply(204)

    def _begin(self, path: str, body: bytes) -> int:
        try:
            parsed = json.loads(body) if body else {}
        except ValueError:
            parsed = {}
        with self._lock:
            self.exchanges.append(Exchange(path, parsed, time.monotonic()))
            return len(self.exchanges) - 1

    def _end(self, number: int, answer: int | str, *, forwarded: bool) -> None:
        with self._lock:
            if number < len(self.exchanges):  # else it was forgotten meanwhile
                ended = replace(self.exchanges[number], ended_s=time.monotonic(), answer=answer, forwarded=forwarded)
                self.exchanges[number] = ended

    def _ask_server(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        if not self._upstream:
            return Reply(502)
        connection = HTTPConnection(self._upstream, timeout=60)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            kept = {name: value for name, value in response.getheaders() if name.lower() not in NOT_PASSED_ON}
            return Reply(response.status, response.read(), kept)
        except (OSError, HTTPException):
            return Reply(502)
        finally:
            connection.close()


@contextmanager
def running_faulty_site() -> Iterator[FaultySite]:
    """Serve the official server, a bare Python page and `/elsewhere`, all behind the faulty proxy."""
    site = FaultySite()
    site._start_server()
    site._listen()
    try:
        yield site
    finally:
        site._over.set()
        site._stop_listening()
        site._server_stack.close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, site: FaultySite, port: int) -> None:
        self.site = site
        self._open = set[socket.socket]()
        super().__init__(("127.0.0.1", port), _Handler)

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    @override
    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle is nothing to tell of."""

    def cut_all(self) -> None:
        for request in tuple(self._open):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Listener  # pyright: ignore[reportIncompatibleVariableOverride] - it is what serves us

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        site = self.server.site
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_PASSED_ON}
        if self.path == "/truth":
            self._answer(site._note_truth(body))
        elif not self.path.startswith(API):
            self._answer(site._ask_server(self.command, self.path, headers, body))
        else:
            self._serve_api(site, headers, body, site._begin(self.path, body))

    def _serve_api(self, site: FaultySite, headers: Mapping[str, str], body: bytes, number: int) -> None:
        """Play the fault; what it was is noted first, because a browser that is cut off asks again at once."""
        fault, over = site._fault or Fault("none", forwards=True), site._over
        reply = site._ask_server(self.command, self.path, headers, body) if fault.forwards else Reply(502)
        if fault.hangs:
            over.wait()
        elif fault.delay_s:
            time.sleep(fault.delay_s)
        if fault.hangs or fault.resets:
            self.close_connection = True
            site._end(number, "reset", forwarded=fault.forwards)
            _reset(self.connection)
        elif fault.raw is not None:
            self.close_connection = True
            site._end(number, "raw", forwarded=fault.forwards)
            self.wfile.write(fault.raw)
        else:
            reply = fault.reply or reply
            site._end(number, reply.status, forwarded=fault.forwards)
            self._answer(reply)

    def _answer(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            if name.lower() not in ("date", "server"):
                self.send_header(name, value)
        if reply.status not in (204, 304):
            self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body if reply.status not in (204, 304) else b"")
        self.wfile.flush()

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean."""


def _reset(connection: socket.socket) -> None:
    """Close with RST instead of FIN."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(connection.detach())  # close() would wait for the handler's files
