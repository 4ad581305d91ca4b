"""Run an ASGI app on a real port, in a thread of this process."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

START_LIMIT_S = 10
STOP_LIMIT_S = 10


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on `host`; port 0 picks a free one. Raises OSError if the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A port in TIME_WAIT counts as free, one with a listener does not: a restart gets its port back.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def address_of(listener: socket.socket) -> str:
    """The address a browser opens to reach `listener`."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def serve(app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve `app` while the block runs and yield its address, as `http://127.0.0.1:54321`.

    On the way out requests in flight get two seconds, then the port is closed and the thread has ended.
    """
    listener = listen(host, port)
    config = uvicorn.Config(
        cast("Callable[..., Any]", app), log_level="warning", lifespan="on", timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        _wait_until_started(server, thread)
        yield address_of(listener)
    finally:
        server.should_exit = True
        thread.join(STOP_LIMIT_S)
        listener.close()
    if thread.is_alive():
        raise RuntimeError(f"The server did not stop within {STOP_LIMIT_S} s.")


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("The server stopped while it was starting; its log says why.")
        if time.monotonic() > deadline:
            raise RuntimeError(f"The server did not start within {START_LIMIT_S} s.")
        time.sleep(0.005)
