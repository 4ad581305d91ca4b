"""`python -m bench.reading`: what it costs to read `total_active_ms`, in real Chromium under Pyodide.

The times are this machine's; the ratios to an empty Python call and to a frame of 16.7 ms say whether a timer may
redraw itself every animation frame.
"""

import sys

from playwright.sync_api import sync_playwright

from bench.measured import PREPARE
from static.assemble import assemble
from tb_browser.testing.browser import RealBrowser
from tests.browser.site import PythonPage, running_site

FRAME_US = 1_000_000 / 60

MEASURE = """
from statistics import median

def empty():
    pass

def microseconds(call, times, rounds=15):
    def once():
        began_ms = js.performance.now()
        for _ in range(times):
            call()
        return (js.performance.now() - began_ms) * 1000 / times
    return median(once() for _ in range(rounds))

activity = timeback.activity.start(
    id="lesson-1", name="Fractions", course={"subject": "Math", "grade": 3}, time={"idleTimeoutMs": 60_000}
)
[
    ["an empty Python call", microseconds(empty, 20_000)],
    ["js.performance.now() from Python", microseconds(js.performance.now, 2_000)],
    ["activity.elapsed_ms", microseconds(lambda: activity.elapsed_ms, 1_000)],
    ["activity.total_active_ms", microseconds(lambda: activity.total_active_ms, 1_000)],
    ["activity.total_inactive_ms", microseconds(lambda: activity.total_inactive_ms, 1_000)],
    ["the 1-s tick, its checkpoint included", microseconds(activity._tick, 100)],
]
"""


def main() -> None:
    """Measure and print."""
    assemble()
    with running_site() as site, sync_playwright() as playwright, RealBrowser(playwright) as browser:
        python = PythonPage(browser.context.new_page(), site).open()
        python.run(PREPARE)
        costs = python.run(MEASURE)
    empty_us = costs[0][1]
    sys.stdout.write("| what | µs | times an empty call | % of a frame |\n| --- | --- | --- | --- |\n")
    for what, cost_us in costs:
        sys.stdout.write(f"| {what} | {cost_us:.2f} | {cost_us / empty_us:,.0f} | {100 * cost_us / FRAME_US:.3f} |\n")


if __name__ == "__main__":
    main()
