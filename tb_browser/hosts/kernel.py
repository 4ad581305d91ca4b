"""A notebook's ordinary kernel: plain Python, which outlives the page, and a page elsewhere that tells of itself.

The page's messages come through the notebook's own channel, in its order: behind the cells that wait. They carry their
own times, on the page's clock, which may be that of another machine.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from tb_browser._ports import Signal, Stop, Tell
from tb_browser.hosts.plain import PlainHost
from tb_browser.hosts.relay import PageLink, Post

SILENT_MS: Final = 10_000.0
"""A visible page that gives no sign of life for this long is gone, asleep or cut off: time ended with the last one."""
LOOK_S: Final = 1.0
LATE_S: Final = 2.0
"""Looks further apart than this mean that the kernel was busy, and that the page's messages still wait."""
WAITED_MS: Final = 500.0
"""A timer later than this was kept waiting by a cell, and so were the page's messages, which are older."""
TURN_MS: Final = 100.0
"""When none has come for this long, those that waited are through."""


class KernelHost(PlainHost):
    """`post` brings a message to the page; `link.take()` is to be given what comes from there."""

    def __init__(self, post: Post) -> None:
        super().__init__()
        made = self.now()
        self._made_ms = made.mono_ms
        self._agreed_ms = made.mono_ms - made.wall_ms
        self._least_ms = self._most_ms = float("inf")
        self._taken_ms = 0.0
        self._sign_ms: float | None = None
        self._silent = False
        self._tellers = list[Tell]()
        self._watcher: asyncio.Task[None] | None = None
        self.link = PageLink(post, self._mono_of, lambda: self.now().mono_ms - self._offset_ms())

    @property
    def visibility_known(self) -> bool:
        """Whether a page tells if it can be seen."""
        return self.link.visible is not None

    def take(self, message: Mapping[str, Any]) -> None:
        """A message from the page."""
        sent_ms = float(message.get("pulse", message.get("at", 0.0)))
        self._taken_ms = self.now().mono_ms
        if self._silent and "pulse" in message:  # and its clock may have stood still, with its machine
            self._agreed_ms = self._most_ms = float("inf")
        if sent_ms:
            if self._sign_ms is None:
                self._least_ms = self._made_ms - sent_ms
            self._most_ms = min(self._most_ms, self._taken_ms - sent_ms)
            self._sign_ms = self._mono_of(sent_ms)
        if self._silent and "pulse" in message:
            self._silent = False
            self._tell(Signal.THAWED, self._mono_of(message["pulse"]))
        self.link.take(message)

    def watch(self, tell: Tell, *, inputs: bool) -> Stop:
        stops = [super().watch(tell, inputs=inputs), self.link.watch(tell, inputs=inputs)]
        self._tellers.append(tell)
        if self._watcher is None:
            self._watcher = asyncio.get_running_loop().create_task(self._look())

        def stop() -> None:
            for each in stops:
                each()
            self._tellers.remove(tell)
            if not self._tellers and self._watcher is not None:
                self._watcher.cancel()
                self._watcher = None

        return stop

    def after(self, delay_ms: float, call: Callable[[], None]) -> Stop:
        """A timer. One that a cell kept waiting lets the page's messages go first."""
        due_ms = self.now().mono_ms + delay_ms
        stops = list[Stop]()

        def fire() -> None:
            now_ms = self.now().mono_ms
            if now_ms - due_ms > WAITED_MS and (len(stops) == 1 or now_ms - self._taken_ms < TURN_MS):
                stops.append(wait(TURN_MS, fire))
            else:
                call()

        wait = super().after
        stops.append(wait(delay_ms, fire))

        def stop() -> None:
            stops[-1]()

        return stop

    def is_hidden(self) -> bool:
        return self.link.visible is False

    def last_input_ms(self) -> float | None:
        return self.link.input_ms

    def _mono_of(self, page_ms: float) -> float:
        return page_ms + self._offset_ms()

    def _offset_ms(self) -> float:
        """What lies between both clocks: both are right about the time of day, unless the messages tell otherwise.

        No message comes before it was sent, nor was the first one sent before this kernel made the badge. If a clock is
        wrong, the message that took least time on its way tells by how much.
        """
        return self._agreed_ms if self._least_ms <= self._agreed_ms <= self._most_ms else self._most_ms

    def _tell(self, signal: Signal, at_ms: float) -> None:
        for tell in list(self._tellers):
            tell(signal, at_ms)

    async def _look(self) -> None:
        looked_ms, idle = self.now().mono_ms, 0
        while True:
            await asyncio.sleep(LOOK_S)
            now_ms = self.now().mono_ms
            idle = idle + 1 if now_ms - looked_ms < LATE_S * 1000 else 0
            looked_ms = now_ms
            if idle * LOOK_S >= LATE_S and now_ms - self._taken_ms < LOOK_S * 1000:
                self._agreed_ms = float("inf")  # a message has come at once: that tells more than the time of day
            if self._sign_ms is None or self._silent or not self.link.visible or idle * LOOK_S * 1000 < SILENT_MS:
                continue
            if now_ms - self._sign_ms > SILENT_MS:
                self._silent = True
                self._tell(Signal.FROZEN, self._sign_ms)
