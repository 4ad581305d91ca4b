"""The ways to a server: the browser's fetch, httpx in plain Python, and memory for tests."""

import sys

from tb_browser._ports import Transport


def choose_transport(credentials: str) -> Transport:
    """The transport for where we are, by capability; `credentials` is fetch's mode, and means nothing elsewhere."""
    if sys.platform == "emscripten":
        from tb_browser.transports.fetch import FetchTransport  # noqa: PLC0415 - exists in the browser only

        return FetchTransport(credentials)
    from tb_browser.transports.plain import PlainTransport  # noqa: PLC0415 - httpx is not in the browser

    return PlainTransport()
