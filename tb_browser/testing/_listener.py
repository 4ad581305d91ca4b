"""The HTTP below the recording server: one thread a connection, each request handed over, answered, reset or cut."""

import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, override

from tb_browser.testing.wire import Reply

NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
WITHOUT_BODY = (204, 304)


class Asked:
    """One request, and the ways to deal with it: exactly one of them is to be called."""

    def __init__(self, handler: "_Handler", body: bytes) -> None:
        self._handler = handler
        self.method = handler.command
        self.path = handler.path
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in handler.headers.items()}
        self.body = body

    def answer(self, reply: Reply) -> int:
        """Answer in order; returns the status."""
        handler = self._handler
        handler.send_response(reply.status)
        for name, value in reply.headers.items() if isinstance(reply.headers, Mapping) else reply.headers:
            handler.send_header(name, value)
        if reply.status not in WITHOUT_BODY:
            handler.send_header("content-length", str(len(reply.body)))
        handler.end_headers()
        if reply.status not in WITHOUT_BODY and self.method != "HEAD":
            handler.wfile.write(reply.body)
        handler.wfile.flush()
        return reply.status

    def answer_raw(self, content: bytes) -> None:
        """Send these bytes instead of an answer, and close."""
        self._handler.close_connection = True
        self._handler.wfile.write(content)

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self._handler.close_connection = True
        connection = self._handler.connection
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(connection.detach())  # close() would wait for the handler's files


class Listener(ThreadingHTTPServer):
    """Listens on loopback at `port` (0: a free one) from the moment it is made."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, serve: Callable[[Asked], None], port: int) -> None:
        self.serve = serve
        self._open = set[socket.socket]()
        super().__init__(("127.0.0.1", port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Refuse what comes from now on, and cut what is open."""
        self.shutdown()
        self.server_close()
        for request in tuple(self._open):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Listener  # pyright: ignore[reportIncompatibleVariableOverride] - it is what serves us

    @override
    def handle_one_request(self) -> None:
        """Serve every method alike; which are allowed is the server's to say."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            self.close_connection = True
        elif self.parse_request():
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            self.server.serve(Asked(self, body))

    @override
    def version_string(self) -> str:
        return "tb_browser.testing"

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean."""
