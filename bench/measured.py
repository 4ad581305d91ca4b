"""One session under measurement: the observer's account of it against what the platform received."""

import json
import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.browser.site import Site

OBSERVER = (Path(__file__).parent / "observer.js").read_text(encoding="utf-8")

PREPARE = """
import json, js
from tb_browser import create_client
errors = []
timeback = create_client()
"""

START = """
OPTIONS = json.loads({options!r})
js.observer.begin({hidden_timeout_ms})
activity = timeback.activity.start(
    id="lesson-1", name="Fractions", course={{"subject": "Math", "grade": 3}},
    on_error=lambda error, context: errors.append(str(error)), **OPTIONS
)
activity.run_id
"""

END = """
js.observer.finish()
receipt = await activity.end()
[receipt.active_ms, receipt.inactive_ms, receipt.waiting]
"""

BLOCK = """
import time
until = time.monotonic() + {seconds}
while time.monotonic() < until:
    pass
"""

PATIENCE_S = 15


@dataclass(frozen=True)
class Row:
    """A line of the table, in milliseconds: the truth is the observer's, what was reported is the platform's."""

    scenario: str
    true_active: float
    reported_active: float
    true_inactive: float
    reported_inactive: float
    longest_gap: float
    events: int
    remark: str = ""

    @property
    def error(self) -> float:
        """What was reported too much, or (negative) too little."""
        return self.reported_active - self.true_active

    @property
    def percent(self) -> float:
        """The error as a share of the true active time."""
        return 100 * self.error / self.true_active if self.true_active else 0.0


class Measured:
    """A page with Python and the observer in it; `evaluate` runs a JavaScript expression there and awaits it."""

    def __init__(self, evaluate: Callable[[str], Any], site: Site) -> None:
        self.evaluate = evaluate
        self._site = site
        self._run_id = ""

    def prepare(self) -> None:
        """Wait for Python, then load the observer and tb_browser."""
        while not self.evaluate("globalThis.document?.body?.dataset.ready === 'yes'"):
            time.sleep(0.1)
        self.evaluate(f"(() => {{ {OBSERVER} }})()")
        self.run(PREPARE)

    def run(self, code: str) -> Any:
        """Run Python in the page; its last value comes back by way of JSON."""
        source = json.dumps(textwrap.dedent(code))
        return self.evaluate(
            f"(async () => {{ const value = await pyodide.runPythonAsync({source});"
            " return value?.toJs ? value.toJs({ dict_converter: Object.fromEntries }) : value ?? null; })()"
        )

    def start(self, **timing: float) -> None:
        """Begin a session, the observer first."""
        options = json.dumps({"time": timing} if timing else {})
        hidden_timeout_ms = timing.get("hiddenTimeoutMs", 600_000)
        self._run_id = self.run(START.format(options=options, hidden_timeout_ms=hidden_timeout_ms))

    def pause(self) -> None:
        """`pause()`, noted by the observer."""
        self.run("js.observer.note('asked'); activity.pause()")

    def resume(self) -> None:
        """`resume()`, noted by the observer."""
        self.run("js.observer.note('resumed'); activity.resume()")

    def end(self, scenario: str, remark: str = "") -> Row:
        """End the session, wait until everything has arrived, and compare."""
        active_ms, inactive_ms, _waiting = self.run(END)
        truth: Mapping[str, Any] = self.evaluate("observer.tally()")
        deadline = time.monotonic() + PATIENCE_S
        while self._arrived_ms() < active_ms + inactive_ms - 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        troubles = [remark] if remark else []
        if self._arrived_ms() < active_ms + inactive_ms - 1:
            troubles.append("not everything arrived")
        if errors := self.run("found, errors[:] = list(errors), []\nfound"):
            troubles.append(f"on_error: {errors[0]}")
        return Row(
            scenario,
            truth["activeMs"],
            1000 * self._site.active_s(self._run_id),
            truth["inactiveMs"],
            1000 * self._site.inactive_s(self._run_id),
            truth["longestGapMs"],
            len(truth["log"]),
            "; ".join(troubles),
        )

    def lost(self, scenario: str, remark: str) -> Row:
        """The page is gone, and its observer with it: only what the observer kept in the tab can be compared."""
        kept: Mapping[str, Any] = self.evaluate("JSON.parse(sessionStorage.getItem('observer'))")
        reported_ms = 1000 * self._site.active_s(self._run_id)
        inactive_ms = 1000 * self._site.inactive_s(self._run_id)
        return Row(scenario, kept["activeMs"], reported_ms, kept["inactiveMs"], inactive_ms, 0, 0, remark)

    def _arrived_ms(self) -> float:
        return 1000 * (self._site.active_s(self._run_id) + self._site.inactive_s(self._run_id))
