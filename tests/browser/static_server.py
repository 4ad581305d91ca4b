"""A server of the assembled parts, which also stands in as a proxy, to see who asks for anything else."""

import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

CHROMIUMS_OWN = re.compile(
    r"(https?://)?(accounts|clients\d*|update|safebrowsing|optimizationguide-pa|redirector)\."
    r"(google|googleapis|gvt1)\.com"
)
"""Where Chromium itself calls, whatever page is open; no switch stops all of it."""


class StaticServer:
    """Serves `pages` under / and `assets` under /static/.

    A browser started with `proxy_arguments` sends every request for another host here; none is answered, and `foreign`
    lists those that are not Chromium's own.
    """

    def __init__(self, assets: Path, pages: Path) -> None:
        self.pages = pages
        self.requested: list[str] = []
        self.foreign: list[str] = []
        owner = self

        class Handler(SimpleHTTPRequestHandler):
            extensions_map = {  # noqa: RUF012 - the base class's own way
                **SimpleHTTPRequestHandler.extensions_map,
                ".js": "text/javascript",
                ".mjs": "text/javascript",
                ".wasm": "application/wasm",
            }

            def translate_path(self, path: str) -> str:
                owner.requested.append(path)
                folder, name = (assets, path[8:]) if path.startswith("/static/") else (pages, path)
                self.directory = str(folder)
                return super().translate_path(f"/{name}")

            def parse_request(self) -> bool:
                understood = super().parse_request()
                if understood and (self.command == "CONNECT" or urlsplit(self.path).netloc):
                    if not CHROMIUMS_OWN.match(self.path):
                        owner.foreign.append(self.path)
                    self.send_error(502)
                    return False
                return understood

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's names
                """Keep the test's output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.proxy_arguments = (f"--proxy-server={self.url}",)

    def page(self, name: str, html: str) -> str:
        """Serve this page and return its address."""
        (self.pages / name).write_text(html, encoding="utf-8")
        return f"{self.url}/{name}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
