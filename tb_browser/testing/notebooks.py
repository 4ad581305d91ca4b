"""Notebooks in a front end of Jupyter's: their cells are run as a person runs them, and their badge tells the state."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Locator, Page

from tb_browser.testing.browser import RealBrowser, RealTab
from tb_browser.testing.server import TimebackServer

__all__ = ["NotebookPage", "notebook_file", "serve_jupyterlite"]

START_TIMEOUT_S = 60
PREFIX = "/jupyterlite"
RUNS = "[*]:"
NAME = "notebook.ipynb"
CONTENTS = "api/contents/all.json"
RAISED = "[data-mime-type='application/vnd.jupyter.stderr'] .ansi-red-fg"
"""An error's name: Jupyter shows errors as it shows stderr, and IPython writes their names, nothing else, in red."""


class NotebookPage(RealTab):
    """A tab with a notebook; code cells are counted from 0, and text between them is not counted."""

    def __init__(self, browser: RealBrowser, page: Page) -> None:
        super().__init__(browser, page)
        self._cells = page.locator(".jp-CodeCell")

    @property
    def badge(self) -> Locator:
        """The badge that `tb_browser.notebook.track()` shows."""
        return self.page.locator(".tb-badge")

    def write_cell(self, index: int, source: str) -> None:
        """Put other code into a cell."""
        self._enter(index)
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(source)

    def start_cell(self, index: int) -> None:
        """Run a cell as a person does, by Shift+Enter, and do not wait for it."""
        self._enter(index)
        self.page.keyboard.press("Shift+Enter")

    def run_cell(self, index: int, timeout_s: float = START_TIMEOUT_S) -> str:
        """Run a cell, and return the text that it printed and showed; an error in it raises AssertionError."""
        before = self._prompt(index)
        self.start_cell(index)
        self.browser.until(lambda: self._prompt(index) not in (before, RUNS), f"cell {index} has run", timeout_s)
        output = self._output(index)
        assert self._cells.nth(index).locator(RAISED).count() == 0, output  # noqa: S101 - the failure of a test
        return output

    def wait_for_badge(self, state: str, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the badge's state is this: "running", "paused", "busy", "stopped"; in hidden tabs too."""
        self.browser.until(lambda: self._badge_state() == state, f"the badge is {state}", timeout_s)

    def _badge_state(self) -> str | None:
        return self.badge.first.get_attribute("data-state") if self.badge.count() else None

    def _enter(self, index: int) -> None:
        self._cells.locator(".cm-content").nth(index).click()

    def _prompt(self, index: int) -> str:
        return self._cells.nth(index).locator(".jp-InputPrompt").inner_text().strip()

    def _output(self, index: int) -> str:
        return "\n".join(self._cells.nth(index).locator(".jp-OutputArea-output").all_inner_texts()).strip()


def serve_jupyterlite(server: TimebackServer, site: Path, notebook: str | Sequence[str]) -> str:
    """Serve a JupyterLite site; returns the address of the notebook at this path in it, or of one with these cells.

    Raises FileNotFoundError, one line that says what to do, if there is no such site or notebook.
    """
    if not all((site / name).is_file() for name in (CONTENTS, "notebooks/index.html")):
        raise FileNotFoundError(
            f"{site} is no JupyterLite site: run 'python3 -m static' once in a checkout of tb_browser, or name the "
            "folder that 'jupyter lite build' has written (with contents) as site="
        )
    server.folder(PREFIX, site)
    path = notebook if isinstance(notebook, str) else NAME
    if not isinstance(notebook, str):
        contents = json.loads((site / CONTENTS).read_bytes())
        file = {"name": NAME, "path": NAME, "type": "notebook", "writable": True, "content": None, "format": None}
        contents["content"] = [{**file, **dict.fromkeys(("created", "last_modified"), contents["created"])}]
        for where, content in ((CONTENTS, contents), (f"files/{NAME}", notebook_file(notebook, kernel="python"))):
            server.page(f"{PREFIX}/{where}", json.dumps(content), "application/json")
    elif not (site / "files" / notebook).is_file():
        raise FileNotFoundError(f"{site} has no notebook {notebook}")
    return f"{server.url}{PREFIX}/notebooks/index.html?path={quote(path)}"


def notebook_file(cells: Iterable[str], *, kernel: str) -> dict[str, object]:
    """What an .ipynb file with these code cells holds, for the kernel of this name."""
    cell: dict[str, object] = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    return {
        "cells": [{**cell, "id": f"cell-{index}", "source": source} for index, source in enumerate(cells)],
        "metadata": {"kernelspec": {"display_name": "Python", "language": "python", "name": kernel}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
