"""The user's callbacks: sync or async; one that raises is reported and never fatal."""

import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from tb_browser._ports import Host
from tb_browser.errors import CallbackError, TimebackError

_logger = logging.getLogger("tb_browser")

type Callback = Callable[..., object | Awaitable[object]]


@dataclass(frozen=True, slots=True)
class ErrorContext:
    """What was being done when an error came up."""

    during: Literal["heartbeat", "completion", "verify", "recovery", "start", "callback"]
    activity_id: str
    run_id: str


class Callbacks:
    """Calls what `start()` was given, by name."""

    def __init__(self, host: Host, given: dict[str, Callback | None]) -> None:
        self._host = host
        self._given = {name: callback for name, callback in given.items() if callback is not None}

    def call(self, name: str, *args: Any, context: ErrorContext) -> None:
        """Call one, if it was given; an awaitable result is awaited in the background."""
        callback = self._given.get(name)
        if callback is None:
            return
        try:
            result = callback(*args)
        except Exception as error:  # noqa: BLE001 - whatever a callback raises stays out of the page
            self._failed(name, error, context)
            return
        if inspect.isawaitable(result):
            self._host.spawn(self._finish(name, result, context))

    def error(self, error: TimebackError, context: ErrorContext) -> None:
        """Tell `on_error`; what cannot be mended by itself is logged if nobody listens."""
        if "on_error" in self._given:
            self.call("on_error", error, context, context=context)
        elif not error.retryable:
            _logger.warning("%s", error)

    async def _finish(self, name: str, result: Awaitable[object], context: ErrorContext) -> None:
        try:
            await result
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(name, error, context)

    def _failed(self, name: str, error: Exception, context: ErrorContext) -> None:
        wrapped = CallbackError(name, error)
        if name == "on_error":
            _logger.warning("%s", wrapped, exc_info=error)
        else:
            self.error(wrapped, ErrorContext("callback", context.activity_id, context.run_id))
