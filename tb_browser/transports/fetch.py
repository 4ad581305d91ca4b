"""Requests of a browser, made directly on JavaScript's `fetch`.

Every request is `keepalive`: one in flight survives the page. A task that awaits before it sends would not.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from tb_browser._ports import Answer, NoAnswer, Request, Response, Stop


class FetchTransport:
    """`credentials` is fetch's mode: "include", "same-origin" or "omit"."""

    guards_grow = False

    def __init__(self, credentials: str) -> None:
        self._js: Any = import_module("js")
        self._ffi: Any = import_module("pyodide.ffi")
        self._credentials = credentials

    async def send(self, request: Request, *, timeout_ms: float) -> Answer:
        js_signal = self._js.AbortSignal.timeout(timeout_ms)
        try:
            js_response = await self._js.fetch(request.url, self._options(request, signal=js_signal))
            return _response(js_response, await js_response.text())
        except self._ffi.JsException as error:
            return _no_answer(error)

    def send_blocking(self, request: Request, *, timeout_ms: float) -> Answer:
        from tb_browser.transports.blocking import send_blocking  # noqa: PLC0415 - urllib costs time at the start

        import_module("pyodide_http").patch_urllib()
        return send_blocking(request, timeout_ms=timeout_ms)

    def send_on_exit(self, request: Request, answered: Callable[[Answer], None]) -> None:
        def failed(error: Any) -> None:
            answered(_no_answer(error))

        def came(js_response: Any) -> None:
            def read(text: str) -> None:
                answered(_response(js_response, text))

            js_response.text().then(read, failed)

        self._js.fetch(request.url, self._options(request)).then(came, failed)

    def guard(self, request: Request, *, active: bool) -> Stop | None:  # noqa: ARG002
        """By `fetchLater` (Chromium): the browser sends it, whatever becomes of the page."""
        js_fetch_later = getattr(self._js, "fetchLater", None)
        if js_fetch_later is None:
            return None
        js_controller = self._js.AbortController.new()
        options = self._options(request, signal=js_controller.signal)
        try:
            js_fetch_later(request.url, options)
        except self._ffi.JsException:  # over its quota, or forbidden by policy: there is no guard then
            return None

        def call_off() -> None:
            js_controller.abort()

        return call_off

    async def aclose(self) -> None:
        pass

    def _options(self, request: Request, **more: Any) -> Any:
        options = {
            "method": request.method,
            "headers": dict(request.headers),
            "credentials": self._credentials,
            "cache": "no-store",
            "keepalive": True,
            # A token must not follow a redirection to another origin. Browsers of before 2023 would carry it there.
            "redirect": "manual" if "authorization" in request.headers else "follow",
            **more,
        }
        if request.body is not None:
            options["body"] = request.body.decode()
        return self._ffi.to_js(options, dict_converter=self._js.Object.fromEntries)


def _no_answer(error: Any) -> NoAnswer:
    # Refused, reset, aborted and forbidden look alike here: it may have been sent.
    return NoAnswer(str(getattr(error, "message", error)))


def _response(js_response: Any, text: str) -> Response:
    headers = {str(name): str(value) for name, value in js_response.headers.entries()}
    # Of a redirection that is not followed the browser shows nothing, not even the status.
    status = 302 if js_response.type == "opaqueredirect" else js_response.status
    return Response(status, headers, text.encode())
