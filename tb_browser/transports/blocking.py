"""Requests that block, by urllib: a page's own requests once `pyodide_http` has patched it."""

from http.client import HTTPException, HTTPResponse
from typing import Any, Final
from urllib import request as urllib_request
from urllib.error import HTTPError, URLError

from tb_browser._ports import Answer, NoAnswer, Request, Response


class _NoRedirection(urllib_request.HTTPRedirectHandler):
    """urllib would carry a token to wherever it is sent."""

    def redirect_request(  # noqa: PLR0917 - the base class's own way
        self,
        req: Any,  # noqa: ARG002
        fp: Any,  # noqa: ARG002
        code: Any,  # noqa: ARG002
        msg: Any,  # noqa: ARG002
        headers: Any,  # noqa: ARG002
        newurl: Any,  # noqa: ARG002
    ) -> None:
        return None


_OPENER: Final = urllib_request.build_opener(_NoRedirection)


def send_blocking(request: Request, *, timeout_ms: float) -> Answer:
    """Send, and wait for the answer. In the browser the time limit is ignored."""
    wanted = urllib_request.Request(  # noqa: S310 - base_url was checked to be http(s)
        request.url, data=request.body, headers=dict(request.headers), method=request.method
    )
    try:
        with _OPENER.open(wanted, timeout=timeout_ms / 1000) as response:
            return _response(response)
    except HTTPError as error:  # never raised in the browser: there the status is all that tells
        with error:
            return _response(error)
    except (OSError, HTTPException) as error:
        refused = isinstance(error, URLError) and isinstance(error.reason, ConnectionRefusedError)
        return NoAnswer(f"{type(error).__name__}: {error}", sent=not refused)
    except Exception as error:
        if type(error).__name__ != "JsException":  # what the browser's XMLHttpRequest throws, whatever went wrong
            raise
        return NoAnswer(str(error))


def _response(response: HTTPResponse | HTTPError) -> Response:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(response.status or 0, headers, response.read())
