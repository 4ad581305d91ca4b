"""Just enough WebDriver BiDi over just enough WebSocket (RFC 6455) to drive Firefox: no geckodriver, no package."""

import base64
import json
import os
import secrets
import socket
import struct
from typing import Any
from urllib.parse import urlsplit

TEXT, CONTINUED, PING, PONG = 1, 0, 9, 10
ANSWER_S = 60


class Bidi:
    """A connection; `send()` waits for the command's answer and raises RuntimeError for an error."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=ANSWER_S)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._stream = self._socket.makefile("rb")
        status = self._stream.readline()
        if b"101" not in status:
            raise RuntimeError(f"no WebSocket: {status.decode().strip()}")
        while self._stream.readline().strip():
            pass
        self._last_id = 0

    def send(self, method: str, **params: Any) -> Any:
        """A command and its result; events in between are passed over."""
        self._last_id += 1
        self._write(TEXT, json.dumps({"id": self._last_id, "method": method, "params": params}).encode())
        while True:
            message = json.loads(self._read())
            if message.get("id") == self._last_id:
                if message["type"] == "error":
                    raise RuntimeError(f"{method}: {message['error']}: {message['message']}")
                return message["result"]

    def close(self) -> None:
        """Let go of the connection."""
        self._stream.close()
        self._socket.close()

    def _write(self, kind: int, payload: bytes) -> None:
        mask = secrets.token_bytes(4)
        if len(payload) < 126:
            head = struct.pack("!BB", 0x80 | kind, 0x80 | len(payload))
        elif len(payload) < 1 << 16:
            head = struct.pack("!BBH", 0x80 | kind, 0x80 | 126, len(payload))
        else:
            head = struct.pack("!BBQ", 0x80 | kind, 0x80 | 127, len(payload))
        self._socket.sendall(head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)))

    def _read(self) -> bytes:
        message = b""
        while True:
            first, second = self._stream.read(2)
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack("!H", self._stream.read(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", self._stream.read(8))
            payload = self._stream.read(length)
            kind = first & 0x0F
            if kind == PING:
                self._write(PONG, payload)
            elif kind in (TEXT, CONTINUED):
                message += payload
                if first & 0x80:
                    return message
