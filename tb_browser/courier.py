"""How one server is asked: its address, and how requests are signed."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from tb_browser._outbox import Entry
from tb_browser._ports import Answer, NoAnswer, Request, Transport
from tb_browser.auth import Ask, Auth
from tb_browser.models import Completion

TIMEOUT_MS: Final = 40_000.0
"""The official server answers 502 after up to 30 s when the platform hangs."""


@dataclass(frozen=True, slots=True)
class Courier:
    """Makes, signs and sends the requests of one server; `base_url` is absolute."""

    base_url: str
    transport: Transport
    auth: Auth

    def request(self, method: str, path: str, body: bytes | None = None) -> Request:
        """A request to a route below the base URL, not yet signed."""
        headers = {"content-type": "application/json"} if body is not None else {}
        return Request(method, f"{self.base_url}{path}", headers, body)

    def heartbeat(self, entry: Entry) -> Request:
        """The request that delivers a window."""
        return self.request("POST", "/activity/heartbeat", entry.body())

    def completion(self, completion: Completion) -> Request:
        """The request that records a completion."""
        return self.request("POST", "/activity/submit", completion.model_dump_json(exclude_none=True).encode())

    def verification(self) -> Request:
        """The request that asks whether the user is known; it changes nothing."""
        return self.request("GET", "/user/verify")

    def signed(self, request: Request) -> Request:
        """The request as it can be signed now: at exit nothing can be awaited."""
        return self.auth.last_known(request)

    async def ask(self, request: Request) -> Answer:
        """Send by the rules of `auth`. If it takes more than one request, the last one's answer counts.

        A token that cannot be had means that nothing was sent.
        """
        return await self._follow(request, lambda step: self.transport.send(step, timeout_ms=TIMEOUT_MS))

    def ask_blocking(self, request: Request) -> Answer:
        """The same before returning. A token that has to be waited for cannot be had."""

        async def send(step: Request) -> Answer:
            return self.transport.send_blocking(step, timeout_ms=TIMEOUT_MS)

        work = self._follow(request, send)
        try:
            work.send(None)
        except StopIteration as done:
            answer: Answer = done.value
            return answer
        work.close()
        return NoAnswer("get_token has to wait, and a blocking call cannot", sent=False)

    async def _follow(self, request: Request, send: Callable[[Request], Awaitable[Answer]]) -> Answer:
        flow = self.auth.flow(request)
        answer: Answer = NoAnswer("auth sent nothing", sent=False)
        reply: Answer | str | None = None
        while True:
            try:
                step = next(flow) if reply is None else flow.send(reply)
            except StopIteration:
                return answer
            if step is Ask.TOKEN:
                try:
                    reply = await self._token()
                except Exception as error:  # noqa: BLE001 - whatever get_token raises, the window is kept
                    return NoAnswer(f"get_token raised {type(error).__name__}: {error}", sent=False)
            else:
                reply = answer = await send(step)

    async def _token(self) -> str:
        given = self.auth.ask() if self.auth.ask is not None else None
        token = await given if inspect.isawaitable(given) else given
        if not isinstance(token, str) or not token.strip():
            raise TypeError(f"it returned {type(token).__name__}, not a token")
        # What no header can carry would be quoted by the error of whoever tries.
        if not (token.strip().isascii() and token.strip().isprintable()):
            raise ValueError("it returned text that no header can carry")
        return token.strip()
