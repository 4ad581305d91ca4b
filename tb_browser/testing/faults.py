"""What may befall a request on its way to the Timeback routes and back, for `TimebackServer.faulty()`."""

import json
from dataclasses import dataclass

from tb_browser.testing.wire import Reply

__all__ = [
    "CUT_OFF",
    "GARBAGE",
    "HANG",
    "HTML",
    "NO_HTTP",
    "RESET_AFTER",
    "RESET_BEFORE",
    "Fault",
    "slow",
    "status",
    "too_many",
]


@dataclass(frozen=True)
class Fault:
    """What befalls a request: whether the server gets it, and what the page gets."""

    name: str
    forwards: bool = False
    """The server gets it all the same, so a window in it is taken."""
    delay_s: float = 0
    """How long the answer waits."""
    hangs: bool = False
    """Nothing comes until the fault is over; then the connection is reset."""
    resets: bool = False
    raw: bytes | None = None
    """Bytes instead of an HTTP answer; then the connection is closed."""
    reply: Reply | None = None


def slow(seconds: float = 1.0) -> Fault:
    """The server takes it at once and answers this much later."""
    return Fault(f"{seconds:g} s slow", forwards=True, delay_s=seconds)


def status(code: int, error: str = "", **headers: str) -> Fault:
    """Answer with this status, and nothing is taken; `retry_after="5"` becomes the header `retry-after`.

    With `error`, such as "USER_RESOLUTION_FAILED", the body is the official server's, otherwise a framework's.
    """
    body = {"error": {"code": error, "message": f"played {code}"}} if error else {"detail": f"played {code}"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(
        f"{code} {error}".rstrip(),
        reply=Reply(code, json.dumps(body).encode(), {"content-type": "application/json", **named}),
    )


def too_many(retry_after: str = "1") -> Fault:
    """429 with `Retry-After`, in seconds or as an HTTP date."""
    return status(429, "RATE_LIMITED", retry_after=retry_after)


HANG = Fault("hanging", hangs=True)
RESET_BEFORE = Fault("reset before the server", resets=True)
RESET_AFTER = Fault("reset after the server", forwards=True, resets=True)
HTML = Fault(
    "a sign-in page", reply=Reply(200, b"<!doctype html><title>Wi-Fi: sign in</title>", {"content-type": "text/html"})
)
GARBAGE = Fault("garbage", reply=Reply(200, bytes(range(256)), {"content-type": "application/json"}))
NO_HTTP = Fault("no HTTP", raw=b"\x00\x01garbage\r\n\r\n")
CUT_OFF = Fault("cut off", raw=b'HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n{"dupl')
