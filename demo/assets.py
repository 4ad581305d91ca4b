"""Static files: what Pyodide, PyScript and the pages are made of."""

import os
from http import HTTPStatus
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

# The system's own table may lack or contradict these; browsers want modules and WebAssembly typed right.
MEDIA_TYPES = {
    ".mjs": "text/javascript",
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".whl": "application/zip",
    ".zip": "application/zip",
    ".py": "text/x-python",
    ".html": "text/html",
}

NEEDED = ("pyodide/pyodide.mjs", "pyodide/pyodide-lock.json", "pyscript/core.js", "pyscript/core.css")
NEEDED_PATTERN = "wheels/tb_browser-*.whl"


class Assets(StaticFiles):
    """A folder served with sure media types and revalidated at each use.

    So an unchanged file costs a 304, and a rebuilt wheel of the same name shows at once.
    """

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "no-cache"
        media_type = MEDIA_TYPES.get(Path(full_path).suffix)
        if media_type is not None and response.status_code == HTTPStatus.OK:
            charset = "; charset=utf-8" if media_type.startswith("text/") else ""
            response.headers["Content-Type"] = media_type + charset
        return response


def missing_assets(static: Path) -> list[str]:
    """The parts without which the page cannot start Python."""
    missing = [name for name in NEEDED if not (static / name).is_file()]
    return missing if any(static.glob(NEEDED_PATTERN)) else [*missing, NEEDED_PATTERN]
