"""The ways to a server: the browser's fetch, httpx in plain Python, and memory for tests."""

import sys

from tb_browser._ports import Host, Transport


def choose_transport(credentials: str, host: Host) -> Transport:
    """The transport for where we are, by capability; `credentials` is fetch's mode, and means nothing elsewhere."""
    if sys.platform == "emscripten":
        from tb_browser.hosts.worker import WorkerHost  # noqa: PLC0415 - exists in the browser only
        from tb_browser.transports.fetch import FetchTransport  # noqa: PLC0415 - exists in the browser only
        from tb_browser.transports.relayed import RelayedTransport  # noqa: PLC0415 - exists in the browser only

        fetch = FetchTransport(credentials)
        linked = isinstance(host, WorkerHost) and host.link is not None
        return RelayedTransport(fetch, host.link, credentials) if linked else fetch
    from tb_browser.transports.plain import PlainTransport  # noqa: PLC0415 - httpx is not in the browser

    return PlainTransport()
