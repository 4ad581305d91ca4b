"""A worker of a browser: Pyodide without a page. What the page's part tells over a channel stands in for it.

`static/page.js` is that part. Without it, whether anybody can see the page is unknown: all time counts as it does where
nothing can be hidden, and that is said once in a warning.
"""

import logging
import os
from typing import Any

from tb_browser._ports import Stop, Tell
from tb_browser.hosts.browser import BrowserHost
from tb_browser.hosts.relay import PageLink

_logger = logging.getLogger("tb_browser")

PAGE_VARIABLE = "TB_BROWSER_PAGE"
"""The environment variable that names the page's channel: `relay()` of page.js gives it."""


class WorkerHost(BrowserHost):
    """A dedicated worker; `channel` names the BroadcastChannel on which its page tells of itself."""

    turn_s = 0.02

    def __init__(self, channel: str | None = None) -> None:
        super().__init__()
        channel = channel or os.environ.get(PAGE_VARIABLE)
        self.link = self._linked(channel) if channel else None
        # tb_browser/<tab>/<page>: a page's own token, else nobody else's
        parts = (channel or "").split("/")
        self.tab_token = parts[1] if len(parts) == 3 else self.new_run_id()

    @property
    def visibility_known(self) -> bool:
        """Whether a page tells if it can be seen."""
        return self.link is not None and self.link.visible is not None

    def watch(self, tell: Tell, *, inputs: bool) -> Stop:
        if self.link is None:
            _logger.warning(
                "this Python runs in a worker and no page tells it of itself, so that hidden time counts as active: "
                "load page.js in the page and call relay() (README, Workers)"
            )
            return lambda: None
        return self.link.watch(tell, inputs=inputs)

    def is_hidden(self) -> bool:
        return self.link is not None and self.link.visible is False

    def was_busy(self, since_ms: float, until_ms: float) -> bool:
        """Whether the page was awake all the while: workers have no Long Tasks API."""
        return self.link is not None and self.link.was_awake(since_ms, until_ms)

    def last_input_ms(self) -> float | None:
        return self.link.input_ms if self.link is not None else None

    def visibility_history(self) -> list[tuple[float, bool]]:
        return []

    def absolute(self, url: str) -> str:
        # A worker's own address may be a blob's, and nothing is relative to that.
        return str(self._js.URL.new(url, self._js.self.origin).href)

    def _linked(self, channel: str) -> PageLink:
        js_channel = self._js.BroadcastChannel.new(channel)
        origin_ms = float(self._js.performance.timeOrigin)

        def post(message: dict[str, Any]) -> None:
            js_channel.postMessage(
                self._ffi.to_js({**message, "to": "page"}, dict_converter=self._js.Object.fromEntries)
            )

        link = PageLink(post, lambda page_ms: page_ms - origin_ms, lambda: origin_ms + self.now().mono_ms)

        def take(js_event: Any) -> None:
            message = js_event.data.to_py()
            if message.get("to") == "python":
                link.take(message)

        self.listen(js_channel, "message", take)

        def held(_ours: bool) -> None:
            link.held = True
            post({"held": True})

        self.hold(channel, held)
        post({"hello": 1})
        return link
