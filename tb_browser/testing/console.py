"""Whatever a page complains of in its console fails the test, unless the test expects it."""

import re

from playwright.sync_api import BrowserContext, ConsoleMessage, WebError

__all__ = ["Console"]

PYTHON_COMPLAINS = ("Traceback (most recent call last)", "exception was never retrieved", "was never awaited")
"""Pyodide gives these out as mere warnings."""


class Console:
    """The complaints of all pages and workers of the watched contexts, in order."""

    def __init__(self) -> None:
        self.complaints = list[str]()
        self._expected = list[str]()

    def watch(self, context: BrowserContext) -> None:
        """Collect console errors, uncaught errors and Python's tracebacks of this context's pages and workers."""
        context.on("console", self._note_message)
        context.on("weberror", self._note_error)

    def expect(self, pattern: str) -> None:
        """Let complaints pass in which this regular expression is found; each ends with its address in brackets."""
        self._expected.append(pattern)

    def unexpected(self) -> list[str]:
        """The complaints that nothing expected."""
        return [text for text in self.complaints if not any(re.search(known, text) for known in self._expected)]

    def _note_message(self, message: ConsoleMessage) -> None:
        address = str(message.location.get("url", ""))
        complains = message.type == "error" or any(words in message.text for words in PYTHON_COMPLAINS)
        # Chromium asks for this by itself, and complains in the name of the page.
        if complains and not address.endswith("/favicon.ico"):
            self.complaints.append(f"{message.text} ({address})")

    def _note_error(self, error: WebError) -> None:
        self.complaints.append(f"uncaught: {error.error}")
