"""Tools for testing pages that track time (docs/testing.md).

Here is what needs no browser. Real tabs that are hidden, frozen and killed are in `tb_browser.testing.browser`, pages
with Python in them in `tb_browser.testing.pages`, notebooks in `tb_browser.testing.notebooks`; pytest finds the
fixtures by itself.
"""

from tb_browser._ports import Answer, NoAnswer, Request, Response, Signal
from tb_browser.hosts.manual import ManualHost
from tb_browser.testing.faults import (
    CUT_OFF,
    GARBAGE,
    HANG,
    HTML,
    NO_HTTP,
    RESET_AFTER,
    RESET_BEFORE,
    Fault,
    slow,
    status,
    too_many,
)
from tb_browser.testing.server import Completion, Exchange, TimebackServer
from tb_browser.testing.timeline import Span, Timeline, Window
from tb_browser.testing.wire import MATH_3, SAM, CourseConfig, Reply, User, Wire
from tb_browser.transports.memory import MemoryTransport

__all__ = [
    "CUT_OFF",
    "GARBAGE",
    "HANG",
    "HTML",
    "MATH_3",
    "NO_HTTP",
    "RESET_AFTER",
    "RESET_BEFORE",
    "SAM",
    "Answer",
    "Completion",
    "CourseConfig",
    "Exchange",
    "Fault",
    "ManualHost",
    "MemoryTransport",
    "NoAnswer",
    "Reply",
    "Request",
    "Response",
    "Signal",
    "Span",
    "TimebackServer",
    "Timeline",
    "User",
    "Window",
    "Wire",
    "slow",
    "status",
    "too_many",
]
