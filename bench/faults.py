"""`python -m bench.faults [--repeat N] [--only PART]`: what arrives after every fault, against an observer's account.

Every session runs in real Chromium, on the official server behind a proxy that fails on request. N (50 by default) is
how often a page is left in each of four ways; tabs are crashed and browsers killed half as often, and each fault of
the server is played a tenth as often. The defaults take about half an hour. The table is Markdown, each line when it is
known.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Playwright, sync_playwright

from static.assemble import assemble
from tb_browser.errors import LossReason
from tb_browser.testing import (
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
from tb_browser.testing.browser import RealBrowser, RealTab
from tests.browser.site import Site, running_site
from tests.browser.truth import FAST, Lesson, Span

LEARN_MS = 1_200
USUAL = {**FAST, "heartbeatMs": 15_000}
"""For those that die: no heartbeat shortens the window, so that what a checkpoint did not hold is seen."""
RESEND_MS = 2_000
"""Longer than `settleMs` of FAST: by then a later visit has asked again for what may have arrived."""
COLUMNS = ("fault", "sessions", "windows closed", "delivered", "duplicated", "lost", "worst loss ms", "worst excess ms")

SERVER_FAULTS: tuple[Fault, ...] = (
    slow(),
    HANG,
    RESET_BEFORE,
    RESET_AFTER,
    HTML,
    GARBAGE,
    NO_HTTP,
    CUT_OFF,
    status(404),
    status(404, "USER_RESOLUTION_FAILED"),
    too_many(),
    status(500, "INTERNAL_ERROR"),
    status(503, "UNAVAILABLE"),
)


@dataclass
class Tally:
    """What became of the sessions that met one fault."""

    fault: str
    time: Mapping[str, Any] = field(default_factory=lambda: FAST)
    sessions: list[tuple[Lesson, Span]] = field(default_factory=list[tuple[Lesson, Span]])
    lost: Counter[str] = field(default_factory=Counter[str])
    """Windows that pages said they lost, by reason."""

    def live(self, lesson: Lesson, end: Callable[[], Span]) -> None:
        """One session, to the end that the fault puts to it."""
        lesson.begin(self.time)
        lesson.wait_known()
        lesson.wait(LEARN_MS + 97 * len(self.sessions) % 1_000)  # at every phase of a second
        self.sessions.append((lesson, end()))

    def note_losses(self, lesson: Lesson) -> None:
        """Ask a page that lives what it lost, of its own and of earlier sessions."""
        self.lost.update(lesson.settle()["lost"])

    def line(self) -> str:
        """The line of the table; call it when nothing waits any more."""
        accounts = [(lesson.account(), truth) for lesson, truth in self.sessions]
        sent = {each.key for lesson, _ in self.sessions for each in lesson.site.heartbeats(lesson.run_id)}
        unsent = sum(self.lost[reason] for reason in (LossReason.OVERFLOW, LossReason.EXPIRED))
        values = (
            self.fault,
            len(accounts),
            len(sent) + unsent,
            sum(account.windows for account, _ in accounts),
            sum(account.windows for account, _ in accounts if account.twice_ms),
            ", ".join(f"{reason} {count}" for reason, count in sorted(self.lost.items())) or 0,
            f"{max(account.lost_ms(truth) for account, truth in accounts):.0f}",
            f"{max(account.excess_ms(truth) for account, truth in accounts):.0f}",
        )
        return f"| {' | '.join(map(str, values))} |"


def leaving(playwright: Playwright, site: Site, repeat: int) -> Iterator[Tally]:
    """A page is closed, navigated, reloaded, or left by the history's back."""
    elsewhere = f"{site.url}/elsewhere"
    ways: Mapping[str, Callable[[Page], object]] = {
        "tab closed": lambda page: page.close(),
        "navigated away": lambda page: page.goto(elsewhere),
        "reloaded": lambda page: page.reload(),
        "back in the history": lambda page: page.go_back(wait_until="commit"),  # no load: it comes out of the cache
    }
    for name, leave in ways.items():
        tally = Tally(name)
        with RealBrowser(playwright) as browser:
            for _ in range(repeat):
                page = browser.context.new_page()
                page.goto(elsewhere)
                lesson = Lesson(page, site).open()

                def end(page: Page = page, lesson: Lesson = lesson, leave: Callable[[Page], object] = leave) -> Span:
                    leave(page)
                    return lesson.length_told()

                tally.live(lesson, end)
                if not page.is_closed():
                    page.close()
            visit_again(browser, tally, site)
        yield tally


def visit_again(browser: RealBrowser, tally: Tally, site: Site) -> None:
    """Let a later visit of the same student deliver what was left."""
    lesson = Lesson(browser.context.new_page(), site).open()
    lesson.begin(FAST)
    lesson.wait_known()
    lesson.wait(RESEND_MS)
    tally.note_losses(lesson)


def crashes(playwright: Playwright, site: Site, repeat: int) -> Iterator[Tally]:
    """The tab's renderer dies; the browser lives on."""
    tally = Tally("tab crashed", USUAL)
    with RealBrowser(playwright) as browser:
        for _ in range(repeat):
            tab: RealTab = browser.open(f"{site.url}/elsewhere")
            lesson = Lesson(tab.page, site).open()

            def end(tab: RealTab = tab, lesson: Lesson = lesson) -> Span:
                earliest_s = time.time()
                tab.crash()
                return lesson.length_at(earliest_s, time.time())

            tally.live(lesson, end)
            tab.close()
        visit_again(browser, tally, site)
    yield tally


def kills(playwright: Playwright, site: Site, repeat: int) -> Iterator[Tally]:
    """SIGKILL for the whole browser; the next session, on the same profile, is the next visit."""
    tally = Tally("browser killed (SIGKILL)", USUAL)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for number in range(repeat):
            # A cache of its own for each: one that a kill has left half written made Chromium's renderers crash.
            cache = f"--disk-cache-dir={profile}/cache-{number}"
            browser = RealBrowser(playwright, user_data_dir=Path(profile), arguments=[cache])
            lesson = Lesson(browser.context.new_page(), site).open()

            def end(browser: RealBrowser = browser, lesson: Lesson = lesson) -> Span:
                tally.lost.update(lesson.stats()["lost"])
                earliest_s = time.time()
                browser.kill()
                return lesson.length_at(earliest_s, time.time())

            tally.live(lesson, end)
        with RealBrowser(playwright, user_data_dir=Path(profile)) as browser:
            visit_again(browser, tally, site)
    yield tally


def server(playwright: Playwright, site: Site, repeat: int) -> Iterator[Tally]:
    """The server fails in the middle of a session, which goes on and ends in good order."""
    outages: dict[str, Callable[[], AbstractContextManager[object]]] = {
        f"server: {fault.name}": lambda fault=fault: site.server.faulty(fault) for fault in SERVER_FAULTS
    }
    outages |= {"server down (refused)": site.server.down, "server restarted": site.stopped_server}
    with RealBrowser(playwright) as browser:
        lesson = Lesson(browser.context.new_page(), site).open()
        for name, outage in outages.items():
            tally = Tally(name)
            for _ in range(max(1, repeat)):
                each = Lesson(lesson.page, site)

                def end(each: Lesson = each, outage: Callable[[], AbstractContextManager[object]] = outage) -> Span:
                    with outage():
                        each.wait(LEARN_MS)
                    each.wait(300)
                    return each.end()

                tally.live(each, end)
                tally.note_losses(each)
            yield tally


def main() -> None:
    """Play the faults and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=50, metavar="N", help="leavings of each way (default 50)")
    parts = {
        "leaving": lambda n: leaving(playwright, site, n),
        "crashes": lambda n: crashes(playwright, site, (n + 1) // 2),
        "kills": lambda n: kills(playwright, site, (n + 1) // 2),
        "server": lambda n: server(playwright, site, n // 10),
    }
    parser.add_argument("--only", choices=sorted(parts), help="one part of the matrix")
    arguments = parser.parse_args()
    assemble()
    say(f"| {' | '.join(COLUMNS)} |")
    say(f"|{' --- |' * len(COLUMNS)}")
    with running_site() as site, sync_playwright() as playwright:
        for name, part in parts.items():
            if arguments.only in (None, name):
                for tally in part(arguments.repeat):
                    say(tally.line())


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
