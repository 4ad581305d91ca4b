"""Notebooks in real front ends, and what the platform behind them received."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from dev.console import ROOT
from tb_browser.testing.browser import RealBrowser
from tb_browser.testing.notebooks import NotebookPage, notebook_file
from tests.browser.site import OBSERVE_LIFE, Site

START_S = 60


class Notebook(NotebookPage):
    """A notebook in a tab of its own, with an observer beside it that knows nothing of tb_browser."""

    def __init__(self, browser: RealBrowser, site: Site, url: str) -> None:
        super().__init__(browser, browser.context.new_page())
        self.site = site
        self.page.add_init_script(OBSERVE_LIFE.replace('"/told"', json.dumps(f"{site.url}/told")))
        self.page.goto(url)
        self.page.wait_for_selector(".jp-CodeCell, .tb-badge", timeout=START_S * 1000)

    def track(self, index: int) -> None:
        """Run the cell that tracks until its badge runs: JupyterLab forgets a cell that it is given as it connects."""
        prompt = self.page.locator(".jp-CodeCell .jp-InputPrompt").nth(index)
        idle = ".jp-Notebook-ExecutionIndicator[data-status='idle']"  # without a kernel, it asks which one
        self.page.wait_for_selector(idle, state="attached", timeout=START_S * 1000)
        deadline = time.monotonic() + START_S
        while self.badge.count() == 0:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no badge: {self.page.locator('.jp-OutputArea').all_inner_texts()}")
            if prompt.inner_text() == "[ ]:":
                self.start_cell(index)
            self.wait(500)
        self.wait_for_badge("running")

    def leave(self) -> tuple[list[float], float]:
        """Close the tab; when its visibility changed, and when it was left, as its observer told."""
        told = len(self.site.told)
        self.close()
        deadline = time.monotonic() + 5
        while len(self.site.told) == told:
            if time.monotonic() > deadline:
                raise TimeoutError("the observer told nothing")
            time.sleep(0.01)
        life = self.site.told[-1]
        return [at for at, _visible in life["seen"]], life["left"]

    def spans(self) -> list[tuple[float, float, float, float]]:
        """The windows that arrived: start and end in ms since 1970, active and inactive ms."""
        found = list[tuple[float, float, float, float]]()
        for event in self.site.platform.events:
            active, inactive = 1000 * (event.active_seconds or 0), 1000 * (event.inactive_seconds or 0)
            end = event.event_time.timestamp() * 1000
            found.append((end - active - inactive, end, active, inactive))
        return sorted(found)

    def settled(self, until_ms: float, within_s: float = 5) -> list[tuple[float, float, float, float]]:
        """The windows, once all up to `until_ms` has come, which are all of one run."""
        deadline = time.monotonic() + within_s
        while (not self.spans() or self.spans()[-1][1] < until_ms - 50) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)  # what is sent twice comes a little later
        assert len({event.run_id for event in self.site.platform.events}) == 1
        return self.spans()

    def account(self, until_ms: float, within_s: float = 5) -> tuple[float, float, float]:
        """Start, active and inactive ms, once all up to `until_ms` has come; windows must touch, and be of one run."""
        spans = self.settled(until_ms, within_s)
        for (_, end, *_), (start, *_) in pairwise(spans):
            assert abs(start - end) < 3, spans
        return spans[0][0], sum(span[2] for span in spans), sum(span[3] for span in spans)


@contextmanager
def jupyter(folder: Path, cells: list[str]) -> Iterator[str]:
    """An ordinary JupyterLab with an ordinary kernel and one notebook; yields the notebook's address."""
    (folder / "lesson.ipynb").write_text(json.dumps(notebook_file(cells, kernel="python3")))
    own = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    environment = {
        **os.environ,
        **{f"JUPYTER_{name}": str(folder / name.partition("_")[0].lower()) for name in own},
        "PYTHONPATH": str(ROOT),
    }
    options = (
        "--no-browser",
        "--allow-root",
        "--port=0",
        "--IdentityProvider.token=",
        f"--ServerApp.root_dir={folder}",
    )
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], env=environment, stdout=log, stderr=log
        )
    try:
        yield f"{_address(folder / 'runtime', server)}lab/tree/lesson.ipynb"
    finally:
        server.terminate()
        server.wait(20)


def _address(runtime: Path, server: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            try:
                url = str(json.loads(file.read_text())["url"])
                with urllib.request.urlopen(f"{url}api", timeout=5):  # noqa: S310 - our own server
                    return url
            except (OSError, ValueError):
                pass
        time.sleep(0.1)
    raise TimeoutError("Jupyter did not start")
