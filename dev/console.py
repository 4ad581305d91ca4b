"""Talking to the person who runs a command: progress, and one line when something is wrong."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".dev"

QUIET_SECONDS_WITHOUT_TERMINAL = 15
MARKS_OF_A_REASON = ("error", "npm error", "e:", "failed", "fatal", "caused by")


class SetUpError(Exception):
    """Something that the command needs is missing; the message is one line: what happened and what to do."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a SetUpError into one line on stderr and exit code 1, and Ctrl-C into exit code 130."""
    try:
        yield
    except SetUpError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def say(text: str) -> None:
    """Show one step of the set-up; stdout is left to the command itself."""
    print(f"set-up: {text}", file=sys.stderr, flush=True)


def run(
    command: Sequence[str],
    *,
    doing: str,
    remedy: str,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> None:
    """Run a tool quietly while showing that it works; raise SetUpError with the tool's own reason if it fails."""
    log = WORK / "logs" / f"{doing.replace(' ', '-').replace('/', '-')}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
            )
        except OSError as error:
            raise SetUpError(f"cannot {doing}: {error}. {remedy}") from error
        with process:
            _show_until_done(process, doing)
    if process.returncode != 0:
        said = log.read_text(encoding="utf-8", errors="replace")
        raise SetUpError(f"cannot {doing}: {_reason(said)}. {remedy} (all that was said: {log.relative_to(ROOT)})")


def _show_until_done(process: "subprocess.Popen[bytes]", doing: str) -> None:
    started = time.monotonic()
    on_terminal = sys.stderr.isatty()
    if not on_terminal:
        say(doing)
    try:
        while True:
            seconds = time.monotonic() - started
            if on_terminal:
                print(f"\rset-up: {doing} … {seconds:.0f} s", end="", file=sys.stderr, flush=True)
            elif seconds > 1:
                say(f"{doing} … {seconds:.0f} s")
            try:
                process.wait(timeout=1 if on_terminal else QUIET_SECONDS_WITHOUT_TERMINAL)
            except subprocess.TimeoutExpired:
                continue
            return
    except BaseException:
        process.terminate()
        raise
    finally:
        if on_terminal:
            print(file=sys.stderr)


def _reason(said: str) -> str:
    """Pick the line in which a tool says what went wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if line.lower().lstrip("\N{MULTIPLICATION SIGN} ").startswith(MARKS_OF_A_REASON)]
    return (telling or lines or ["it gave no reason"])[-1].rstrip(".")[:300]
