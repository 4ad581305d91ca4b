"""One set-up at a time in a checkout."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.console import say

try:
    import fcntl
except ImportError:  # Windows has none; there, two set-ups at once are the user's own care
    fcntl = None


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; the system frees it however this process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("waiting for another set-up of this checkout")
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
