"""`python -m bench.accuracy [PART OF A NAME]`: reported active time against an observer's, in real browsers.

Run it with the project's own Python from the folder of the checkout. It takes about five minutes; browsers that are
missing are skipped. The table is written as Markdown, each line when it is known.
"""

import argparse
import sys
from collections.abc import Callable, Iterator

from playwright.sync_api import Playwright, sync_playwright

from bench import chromium, firefox, hour, webkit
from bench.measured import Row
from static.assemble import assemble
from tests.browser.site import Site, running_site

type Part = Callable[[Playwright, Site, str], Iterator[Row]]

PARTS: dict[str, Part] = {
    "Chromium": chromium.measure,
    "Chromium, clock driven": hour.measure,
    "Firefox": firefox.measure,
    "WebKitGTK": webkit.measure,
}
MISSING = {"Firefox": firefox.missing, "WebKitGTK": webkit.missing}
COLUMNS = ("scenario", "true active ms", "reported active ms", "error ms", "error %", "inactive error ms", "remark")


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def line(row: Row) -> str:
    """A line of the table."""
    values = (
        row.scenario,
        f"{row.true_active:,.1f}",
        f"{row.reported_active:,.0f}",
        f"{row.error:+.1f}",
        f"{row.percent:+.3f}",
        f"{row.reported_inactive - row.true_inactive:+.1f}",
        row.remark,
    )
    return f"| {' | '.join(values)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description="Reported against true active time.")
    parser.add_argument("only", nargs="?", default="", help="scenarios whose name contains this")
    parser.add_argument("--browser", choices=sorted(PARTS), action="append", help="all by default")
    arguments = parser.parse_args()
    assemble()
    for name, part in PARTS.items():
        if arguments.browser and name not in arguments.browser:
            continue
        say(f"\n{name}\n")
        if name in MISSING and (why := MISSING[name]()):
            say(why)
            continue
        say(f"| {' | '.join(COLUMNS)} |")
        say(f"|{' --- |' * len(COLUMNS)}")
        with running_site() as site, sync_playwright() as playwright:
            for row in part(playwright, site, arguments.only):
                say(line(row))


if __name__ == "__main__":
    main()
