"""A transport that goes nowhere: a function answers, and every request is kept."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tb_browser._ports import Answer, Request, Response, Stop


def _taken(_request: Request) -> Answer:
    return Response(204)


@dataclass
class MemoryTransport:
    """For tests without a browser: `answer` plays the server; the lists keep what was asked, by the way it was sent."""

    answer: Callable[[Request], Answer] = _taken
    sent: list[Request] = field(default_factory=list[Request])
    blocking: list[Request] = field(default_factory=list[Request])
    on_exit: list[Request] = field(default_factory=list[Request])
    guards: list[Request] = field(default_factory=list[Request])
    can_guard: bool = True
    guards_grow: bool = False
    page_dies: bool = False
    """Exit requests arrive, and nobody is left to hear the answer."""

    async def send(self, request: Request, *, timeout_ms: float) -> Answer:  # noqa: ARG002 - answers come at once
        self.sent.append(request)
        return self.answer(request)

    def send_blocking(self, request: Request, *, timeout_ms: float) -> Answer:  # noqa: ARG002 - as above
        self.blocking.append(request)
        return self.answer(request)

    def send_on_exit(self, request: Request, answered: Callable[[Answer], None]) -> None:
        self.on_exit.append(request)
        answer = self.answer(request)
        if not self.page_dies:
            answered(answer)

    def guard(self, request: Request, *, active: bool) -> Stop | None:  # noqa: ARG002
        if not self.can_guard:
            return None
        self.guards.append(request)
        return lambda: self.guards.remove(request) if request in self.guards else None

    async def aclose(self) -> None:
        pass
