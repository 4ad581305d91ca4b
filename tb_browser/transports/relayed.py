"""Requests of a worker, whose page sends the last window in its place (delivery.md, Exit)."""

import asyncio
from collections.abc import Callable

from tb_browser._ports import Answer, Request, Stop, Transport
from tb_browser.hosts.relay import PageLink


class RelayedTransport:
    """Sends by itself what the page has not sent, and never while the page might send the same."""

    guards_grow = True

    def __init__(self, inner: Transport, link: PageLink, credentials: str) -> None:
        self._inner = inner
        self._link = link
        self._credentials = credentials

    async def send(self, request: Request, *, timeout_ms: float) -> Answer:
        if request.body is not None:
            await self._link.acknowledged()
        if not self._link.has_sent(request):
            return await self._inner.send(request, timeout_ms=timeout_ms)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._link.on_answered(lambda given: None if answer.done() else answer.set_result(given))
        return await answer

    def send_on_exit(self, request: Request, answered: Callable[[Answer], None]) -> None:
        if self._link.has_sent(request):
            self._link.on_answered(answered)
        else:
            self._inner.send_on_exit(request, answered)

    def guard(self, request: Request, *, active: bool) -> Stop | None:
        return self._link.guard(request, self._credentials, active=active)

    async def aclose(self) -> None:
        await self._inner.aclose()
