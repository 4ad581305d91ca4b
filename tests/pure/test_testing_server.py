"""The recording server: every fault does what it says, shown on a raw socket, and what arrived is kept."""

import http.client
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tb_browser.testing.faults import (
    CUT_OFF,
    GARBAGE,
    HANG,
    HTML,
    NO_HTTP,
    RESET_AFTER,
    RESET_BEFORE,
    Fault,
    slow,
    status,
    too_many,
)
from tb_browser.testing.server import TimebackServer

HEARTBEAT = "/activity/heartbeat"
PATIENCE_S = 5


@pytest.fixture
def server() -> Iterator[TimebackServer]:
    with TimebackServer() as server:
        yield server


def window(run_id: str = "", start_s: int = 0, **changes: object) -> dict[str, Any]:
    return {
        "id": "fractions-1",
        "name": "Fractions",
        "course": {"subject": "Math", "grade": 3},
        "runId": run_id or str(uuid.uuid4()),
        "startedAt": f"2025-06-01T12:00:{start_s:02d}.000Z",
        "endedAt": f"2025-06-01T12:00:{start_s + 15:02d}.000Z",
        "elapsedMs": 12_000,
        "pausedMs": 3_000,
        **changes,
    }


def connected(server: TimebackServer) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=PATIENCE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def send(connection: socket.socket, route: str = HEARTBEAT) -> None:
    body = json.dumps(window()).encode()
    head = f"POST /api/timeback{route} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)


def heard(connection: socket.socket) -> bytes:
    """Everything until the server closes, or is silent for a moment after it has said something."""
    said = b""
    while True:
        try:
            piece = connection.recv(65_536)
        except TimeoutError:
            return said
        if not piece:
            return said
        said += piece
        connection.settimeout(0.1)


def post(server: TimebackServer, body: object, route: str = HEARTBEAT) -> httpx.Response:
    return httpx.post(server.api + route, json=body)


@pytest.mark.parametrize("fault", [RESET_BEFORE, RESET_AFTER], ids=lambda fault: fault.name)
def test_resets_are_resets(server: TimebackServer, fault: Fault) -> None:
    """The connection ends with RST and no byte; only the one "after the server" leaves a window behind."""
    with server.faulty(fault), connected(server) as connection:
        send(connection)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert len(server.windows()) == (1 if fault is RESET_AFTER else 0)
    assert server.requests[0].forwarded is (fault is RESET_AFTER)


def test_a_hanging_server_says_nothing_until_it_is_over(server: TimebackServer) -> None:
    """Not a byte for as long as the fault lasts; then a reset, and nothing was taken."""
    with connected(server) as connection:
        with server.faulty(HANG):
            send(connection)
            server.wait_for_requests(1)
            connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            assert server.requests[0].answer == "under way"
        connection.settimeout(PATIENCE_S)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert server.windows() == []


def test_a_slow_server_has_taken_it_long_before_it_answers(server: TimebackServer) -> None:
    """The window is there at once, the answer comes after the delay."""
    with server.faulty(slow(0.4)), connected(server) as connection:
        began_s = time.monotonic()
        send(connection)
        server.wait_for_windows(1)
        assert time.monotonic() - began_s < 0.3
        assert heard(connection).startswith(b"HTTP/1.1 204 ")
        assert time.monotonic() - began_s >= 0.4


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (NO_HTTP, b"\x00\x01garbage\r\n\r\n"),
        (CUT_OFF, b'HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n{"dupl'),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_is_no_answer(server: TimebackServer, fault: Fault, says: bytes) -> None:
    """These very bytes, then the end of the connection; nothing was taken."""
    with server.faulty(fault), connected(server) as connection:
        send(connection)
        assert heard(connection) == says
        assert connection.recv(1) == b""
    assert server.windows() == []


@pytest.mark.parametrize(
    ("fault", "code", "header", "body"),
    [
        (GARBAGE, 200, ("content-type", "application/json"), bytes(range(256))),
        (HTML, 200, ("content-type", "text/html"), b"<!doctype html><title>Wi-Fi: sign in</title>"),
        (status(503), 503, ("content-type", "application/json"), b'{"detail": "played 503"}'),
        (too_many("7"), 429, ("retry-after", "7"), b'{"error": {"code": "RATE_LIMITED", "message": "played 429"}}'),
        (
            status(404, "USER_RESOLUTION_FAILED"),
            404,
            ("content-type", "application/json"),
            b'{"error": {"code": "USER_RESOLUTION_FAILED", "message": "played 404"}}',
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_wrong_answers(server: TimebackServer, fault: Fault, code: int, header: tuple[str, str], body: bytes) -> None:
    """A well-formed answer with this status, header and body, and nothing was taken."""
    with server.faulty(fault), connected(server) as connection:
        send(connection)
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert (response.status, response.getheader(header[0]), response.read()) == (code, header[1], body)
    assert (server.windows(), server.requests[0].answer) == ([], code)


def test_nobody_listens_while_it_is_down(server: TimebackServer) -> None:
    """Open connections end, new ones are refused, and afterwards the port is the same one."""
    with connected(server) as open_before:
        send(open_before)
        assert heard(open_before).startswith(b"HTTP/1.1 204 ")
        open_before.settimeout(PATIENCE_S)
        with server.down():
            assert open_before.recv(1) == b""
            with pytest.raises(ConnectionRefusedError):
                connected(server)
    assert post(server, window()).status_code == 204
    assert len(server.windows()) == 2


def test_a_fault_ends_with_its_block_or_its_count(server: TimebackServer) -> None:
    """`times` requests are befallen and no more, and none after the block."""
    with server.faulty(status(500), times=2):
        assert [post(server, window()).status_code for _ in range(3)] == [500, 500, 204]
    with server.faulty(status(500)):
        pass
    assert post(server, window()).status_code == 204


def test_a_fault_keeps_to_its_route(server: TimebackServer) -> None:
    """Other routes are spared, and so are pages; of two faults that fit, the inner one counts."""
    address = server.page("/lesson", "<title>Lesson</title>")
    with server.faulty(status(500)), server.faulty(status(503), route=HEARTBEAT):
        assert post(server, window()).status_code == 503
        assert httpx.get(f"{server.api}/user/verify").status_code == 500
        assert httpx.get(address).text == "<title>Lesson</title>"


def test_a_restart_forgets_what_was_taken(server: TimebackServer) -> None:
    """Until then a repetition is a duplicate; afterwards it counts again, and the line says so."""
    body = window()
    assert [post(server, body).status_code for _ in range(2)] == [204, 200]
    server.timeline(body["runId"]).assert_counted_once()
    server.forget_windows()
    assert post(server, body).status_code == 204
    with pytest.raises(AssertionError, match="counted twice"):
        server.timeline(body["runId"]).assert_counted_once()


def test_the_line_of_one_run_and_of_all(server: TimebackServer) -> None:
    """Every window is kept with its run, its activity, its learner, and the time of its arrival."""
    before_ms = time.time() * 1000
    for start_s in (0, 15):
        post(server, window("11111111-2222-4333-8444-555555555555", start_s))
    server.sign_in(None)
    assert post(server, window()).status_code == 401
    server.sign_in("student@example.com")
    post(server, window(elapsedMs=15_000, pausedMs=0))
    line = server.timeline("11111111-2222-4333-8444-555555555555")
    line.assert_active(24_000)
    line.assert_inactive(6_000)
    line.assert_no_gaps()
    assert server.timeline().active_ms == 39_000
    kept = server.windows()[0]
    assert (kept.activity_id, kept.email) == ("fractions-1", "student@example.com")
    assert before_ms <= (kept.arrived_at_ms or 0) <= time.time() * 1000


def test_a_completion_is_kept(server: TimebackServer) -> None:
    """With its metrics as they were sent."""
    body = window(metrics={"xpEarned": 8.5}, pctComplete=50)
    assert post(server, body, "/activity/submit").status_code == 204
    [completion] = server.completions
    assert (completion.run_id, completion.metrics, completion.pct_complete) == (body["runId"], {"xpEarned": 8.5}, 50)


def test_windows_in_flight_twice_are_told(server: TimebackServer) -> None:
    """Two requests for one window at once are dangerous, one after the other they are not."""
    body = window()
    post(server, body)
    post(server, body)
    assert server.in_flight_twice() == []
    with server.faulty(slow(0.3)):
        second = threading.Thread(target=post, args=(server, body))
        second.start()
        post(server, body)
        second.join()
    assert server.in_flight_twice() == [f"{body['runId']}/{body['startedAt']}"]


def test_waiting_in_vain_shows_what_arrived(server: TimebackServer) -> None:
    """The message names what was waited for and draws the line."""
    post(server, window("11111111-2222-4333-8444-555555555555"))
    with pytest.raises(TimeoutError, match=r"in vain until 2 windows had arrived\nrun 11111111(.|\n)*12 s active"):
        server.wait_for_windows(2, timeout_s=0.05)


def test_files_are_served_and_nothing_above_them(server: TimebackServer, tmp_path: Path) -> None:
    """With the types that browsers want; a path that climbs out of the folder finds nothing."""
    (tmp_path / "public").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    for name in ("a.mjs", "a.wasm", "index.html"):
        (tmp_path / "public" / name).write_text(name)
    server.folder("/static", tmp_path / "public")
    kinds = {name: httpx.get(f"{server.url}/static/{name}").headers["content-type"] for name in ("a.mjs", "a.wasm")}
    assert kinds == {"a.mjs": "text/javascript; charset=utf-8", "a.wasm": "application/wasm"}
    assert httpx.get(f"{server.url}/static/").text == "index.html"
    for path in ("/static/%2e%2e/secret.txt", "/static/../secret.txt", "/staticx/a.mjs", "/a.mjs"):
        with connected(server) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            assert heard(connection).startswith(b"HTTP/1.1 404 "), path
    with pytest.raises(NotADirectoryError, match="no folder"):
        server.folder("/static", tmp_path / "missing")


def test_in_front_of_another_server(server: TimebackServer) -> None:
    """With an upstream the other one answers; what it takes is recorded here, and faults befall it."""
    with ExitStack() as stack:
        front = stack.enter_context(TimebackServer(upstream=server.url))
        server.page("/lesson", "<title>Lesson</title>")
        body = window()
        assert [post(front, body).status_code for _ in range(2)] == [204, 200]
        assert httpx.get(f"{front.url}/lesson").text == "<title>Lesson</title>"
        with front.faulty(RESET_AFTER), pytest.raises(httpx.ReadError):
            post(front, window())
        assert len(front.windows()) == len(server.windows()) == 2
        assert len(front.duplicates()) == 1
        server.close()
        assert post(front, window()).status_code == 502
