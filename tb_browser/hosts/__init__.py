"""The worlds in which Python runs: a browser's page, its workers, plain CPython, and one driven by hand for tests."""

import sys

from tb_browser._ports import Host


def in_page() -> bool:
    """Whether this Python runs in a browser page. PyScript's workers have `js.document` too, so ask for the window."""
    if sys.platform != "emscripten":
        return False
    import js  # type: ignore[import-not-found]  # noqa: PLC0415 - exists in the browser only

    return bool(hasattr(js, "window") and js.self == js.window)


def choose_host() -> Host:
    """The host for where we are, by capability."""
    if in_page():
        from tb_browser.hosts.page import PageHost  # noqa: PLC0415 - exists in the browser only

        return PageHost()
    if sys.platform == "emscripten":
        from tb_browser.hosts.worker import WorkerHost  # noqa: PLC0415 - exists in the browser only

        return WorkerHost()
    from tb_browser.hosts.plain import PlainHost  # noqa: PLC0415 - pulls asyncio in

    return PlainHost()
