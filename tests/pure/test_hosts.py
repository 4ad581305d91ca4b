"""What the hosts of a browser make of its clocks, with a JavaScript by hand."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from tb_browser._ports import Moment
from tb_browser.hosts.browser import BrowserHost


def host_of(readings: Iterator[float]) -> BrowserHost:
    """A host whose JavaScript reads these, one after the other, from a monotonic clock that shows 0 at noon."""
    host = BrowserHost.__new__(BrowserHost)
    js: Any = SimpleNamespace(
        performance=SimpleNamespace(now=lambda: next(readings)),
        Date=SimpleNamespace(now=lambda: 1_748_779_200_000 + int(next(readings))),
    )
    host._js = js
    return host


def test_two_clocks_are_read_at_one_instant() -> None:
    """The computer turned to other work between the two readings: they are read again."""
    interrupted, at_once = [10.0, 17.0, 17.1], [17.2, 17.2, 17.3]
    assert host_of(iter([*interrupted, *at_once])).now() == Moment(17.2, 1_748_779_200_017)
    assert host_of(iter(at_once)).now() == Moment(17.2, 1_748_779_200_017)
