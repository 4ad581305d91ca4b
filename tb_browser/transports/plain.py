"""Requests of an ordinary Python process, by httpx."""

import asyncio
from collections.abc import Callable

import httpx

from tb_browser._ports import Answer, NoAnswer, Request, Response, Stop
from tb_browser.transports.blocking import send_blocking

EXIT_TIMEOUT_S = 5.0


def _response(response: httpx.Response) -> Response:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(response.status_code, headers, response.content)


def _no_answer(error: httpx.HTTPError) -> NoAnswer:
    # Only while connecting is it sure that nothing has left.
    unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol)
    return NoAnswer(f"{type(error).__name__}: {error}", sent=not unsent)


class PlainTransport:
    """One connection pool for as long as the event loop lives."""

    guards_grow = False

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(self, request: Request, *, timeout_ms: float) -> Answer:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:  # a pool's connections belong to their loop
            self._client, self._loop = httpx.AsyncClient(), loop
        try:
            response = await self._client.request(
                request.method,
                request.url,
                headers=dict(request.headers),
                content=request.body,
                timeout=timeout_ms / 1000,
            )
        except httpx.HTTPError as error:
            return _no_answer(error)
        return _response(response)

    def send_blocking(self, request: Request, *, timeout_ms: float) -> Answer:
        return send_blocking(request, timeout_ms=timeout_ms)

    def send_on_exit(self, request: Request, answered: Callable[[Answer], None]) -> None:
        # The interpreter is going down: there is no loop to come back to.
        try:
            response = httpx.request(
                request.method,
                request.url,
                headers=dict(request.headers),
                content=request.body,
                timeout=EXIT_TIMEOUT_S,
            )
        except httpx.HTTPError as error:
            answered(_no_answer(error))
        else:
            answered(_response(response))

    def guard(self, request: Request, *, active: bool) -> Stop | None:  # noqa: ARG002 - nobody outlives the process
        return None

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None
