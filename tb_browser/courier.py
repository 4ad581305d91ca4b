"""How one server is asked: its address, and how requests are signed."""

import inspect
from dataclasses import dataclass
from typing import Final

from tb_browser._outbox import Entry
from tb_browser._ports import Answer, NoAnswer, Request, Transport
from tb_browser.auth import Ask, Auth

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

    def signed(self, request: Request) -> Request:
        """The request as it can be signed now: at exit nothing can be awaited."""
        return self.auth.last_known(request)

    async def ask(self, request: Request) -> Answer:
        """Send by the rules of `auth`. If it takes more than one request, the last one's answer counts.

        A token that cannot be had means that nothing was sent.
        """
        flow = self.auth.flow(request)
        answer: Answer = NoAnswer("auth sent nothing", sent=False)
        try:
            step = next(flow)
            while True:
                if step is not Ask.TOKEN:
                    answer = await self.transport.send(step, timeout_ms=TIMEOUT_MS)
                    step = flow.send(answer)
                    continue
                token = self.auth.ask() if self.auth.ask is not None else ""
                step = flow.send(await token if inspect.isawaitable(token) else token)
        except StopIteration:
            return answer
        except Exception as error:  # noqa: BLE001 - whatever get_token raises, the window is kept
            return NoAnswer(f"get_token raised {type(error).__name__}: {error}", sent=False)
