"""A page that Python cannot see, as it tells of itself: what `assets/page.js` posts, and what it is told.

    page → Python   {signal, at, sent?}  {pulse}  {hello, at, visible}  {pong}  {answered, status, text | why}
    Python → page   {hello}  {inputs}  {ping}  {guard}  {here}  {held}

Times are the page's: milliseconds since 1970 when it was opened, on a clock that is never set afterwards.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final

from tb_browser._ports import Answer, NoAnswer, Request, Response, Signal, Stop, Tell

AWAKE_MS: Final = 10_000.0
"""A page gives a sign of life every two seconds; without any for this long, it was asleep too."""
KEPT_PULSES: Final = 4_096
ACKNOWLEDGED_S: Final = 1.0
"""How long a request waits for the page to know of it. A page blocked that long can be left by nobody either."""

type Post = Callable[[dict[str, Any]], None]


class PageLink:
    """The link to one page. `mono_ms` turns the page's times into the host's, `page_ms` the other way round."""

    def __init__(self, post: Post, mono_ms: Callable[[float], float], page_ms: Callable[[], float]) -> None:
        self._post = post
        self._mono_ms = mono_ms
        self._page_ms = page_ms
        self._tellers = list[Tell]()
        self._pulses = deque[float](maxlen=KEPT_PULSES)
        self._inputs = False
        self._pings = dict[int, asyncio.Future[None]]()
        self._pinged = 0
        self._guard: dict[str, Any] | None = None
        self._sent: Mapping[str, Any] | None = None
        self._answer: Answer | None = None
        self._answered = list[Callable[[Answer], None]]()
        self.visible: bool | None = None
        """Whether the page can be seen; None as long as no page has said so."""
        self.held = False
        """Whether the lock is held that the page waits for, to know when Python is gone."""
        self.input_ms: float | None = None
        """The person's last sign of life, on the host's clock."""

    # --- the page's life ---

    def watch(self, tell: Tell, *, inputs: bool) -> Stop:
        """Tell of the page's life, with its own times; the first answer is how the page is now."""
        self._tellers.append(tell)
        self._inputs = inputs
        self._post({"hello": 1, "inputs": inputs})

        def stop() -> None:
            if tell in self._tellers:
                self._tellers.remove(tell)

        return stop

    def was_awake(self, since_ms: float, until_ms: float) -> bool:
        """Whether the page gave signs of life all through that span: then it was Python that was busy."""
        signs = [since_ms, *(at for at in self._pulses if since_ms < at < until_ms), until_ms]
        return all(later - earlier < AWAKE_MS for earlier, later in pairwise(signs))

    def take(self, message: Mapping[str, Any]) -> None:
        """A message from the page."""
        if "pulse" in message:
            self._pulses.append(self._mono_ms(message["pulse"]))
            self._post({"here": 1})
        elif "signal" in message:
            self._on_signal(message)
        elif "hello" in message:
            self._note_visibility(bool(message["visible"]), self._mono_ms(message["at"]))
            if not message["hello"]:  # a page that is new, and has heard nothing yet
                self._post({"here": 1, "inputs": self._inputs, "held": self.held, "guard": self._guard})
        elif "pong" in message:
            waiting = self._pings.pop(message["pong"], None)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
        elif "answered" in message:
            self._on_answered(message)

    def _on_signal(self, message: Mapping[str, Any]) -> None:
        signal, at_ms = Signal(message["signal"]), self._mono_ms(message["at"])
        if message.get("sent"):
            self._sent, self._answer = message["sent"], None
        if signal is Signal.INPUT:
            self.input_ms = at_ms
        if signal in (Signal.HIDDEN, Signal.SHOWN):
            self._note_visibility(signal is Signal.SHOWN, at_ms)
        else:
            self._tell(signal, at_ms)

    def _note_visibility(self, visible: bool, at_ms: float) -> None:
        # A page that was taken to be visible, because it had not said anything yet, is told of as it is.
        if visible != (self.visible is not False):
            self._tell(Signal.SHOWN if visible else Signal.HIDDEN, at_ms)
        self.visible = visible

    def _tell(self, signal: Signal, at_ms: float) -> None:
        for tell in list(self._tellers):
            tell(signal, at_ms)

    # --- the last window ---

    def guard(self, request: Request, credentials: str, *, active: bool) -> Stop:
        """Let the page send this window, grown by what passes until then, should it be left.

        `active` says how that time counts while the page can be seen.
        """
        guard = self._guard = {
            "url": request.url,
            "headers": dict(request.headers),
            "credentials": credentials,
            "body": json.loads(request.body or b"{}"),
            "at": self._page_ms(),
            "active": active,
        }
        self._post({"guard": guard})

        def call_off() -> None:
            if self._guard is guard:
                self._guard = None
                # The next guard is about to come; without a guard between both, no exit falls in between.
                asyncio.get_running_loop().call_soon(self._lift)

        return call_off

    def _lift(self) -> None:
        if self._guard is None:
            self._post({"guard": None})

    async def acknowledged(self) -> None:
        """Wait until the page knows all that it was told: it must not send what Python is about to send."""
        if self.visible is None:
            return
        self._pinged += 1
        known = self._pings[self._pinged] = asyncio.get_running_loop().create_future()
        self._post({"ping": self._pinged})
        await asyncio.wait([known], timeout=ACKNOWLEDGED_S)
        self._pings.pop(self._pinged, None)

    def has_sent(self, request: Request) -> bool:
        """Whether the page, as it was left, has sent a window in which this one lies."""
        if self._sent is None or request.body is None:
            return False
        window = json.loads(request.body)
        ours = (self._sent.get(name, "") for name in ("runId", "startedAt", "endedAt"))
        run_id, started_at, ended_at = ours
        # Same form, same zone: as texts they compare as times do.
        return bool(window.get("runId") == run_id and started_at <= window.get("startedAt", "") < ended_at)

    def on_answered(self, call: Callable[[Answer], None]) -> None:
        """Call with the server's answer to what the page has sent, once it is there."""
        if self._answer is not None:
            call(self._answer)
        else:
            self._answered.append(call)

    def _on_answered(self, message: Mapping[str, Any]) -> None:
        if "why" in message:
            answer: Answer = NoAnswer(str(message["why"]))
        else:
            answer = Response(int(message["status"]), {}, str(message["text"]).encode())
        self._answer = answer
        calls, self._answered = self._answered, []
        for call in calls:
            call(answer)
