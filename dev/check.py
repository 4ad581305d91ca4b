"""All checks of this checkout; `python3 -m tests` ends here, in the environment that it has made ready.

Without arguments: the linter, the formatter, the type checkers, then every test. With arguments, which are pytest's,
only the tests. The tests run as two processes, because a sync Playwright and asyncio do not share one.
"""

import os
import subprocess
import sys
from pathlib import Path

from dev.browser import ready_chromium
from dev.console import ROOT, one_line_errors

NO_TESTS = 5
"""pytest's exit code when it found nothing to run."""

LINTERS = (
    ["ruff", "check"],
    ["ruff", "format", "--check"],
    ["pyright"],
    ["mypy"],
)

TESTS = ROOT / "tests"
BROWSER_TESTS = TESTS / "browser"


def main(arguments: list[str]) -> int:
    """Run everything, or the tests that `arguments` choose; return the exit code."""
    plain, browser = _shares(arguments)
    if browser is not None:
        os.environ["TB_BROWSER_CHROMIUM"] = str(ready_chromium())
    failed = [] if arguments else [" ".join(linter) for linter in LINTERS if _run(linter) != 0]
    codes = [_run(["pytest", *share]) for share in (plain, browser) if share is not None]
    failed += [f"tests (exit code {code})" for code in codes if code not in (0, NO_TESTS)]
    if failed:
        print(f"error: failed: {', '.join(failed)}", file=sys.stderr)
        return 1
    if all(code == NO_TESTS for code in codes):
        print("error: no test was found", file=sys.stderr)
        return 1
    return 0


def _shares(arguments: list[str]) -> tuple[list[str] | None, list[str] | None]:
    """Split pytest's arguments into those for the tests without a browser and those for the tests with one.

    None stands where the arguments name test files, all of the other kind.
    """
    paths = [argument for argument in arguments if _lies_in(TESTS, argument)]
    options = [argument for argument in arguments if argument not in paths]
    in_browser = [path for path in paths if _lies_in(BROWSER_TESTS, path)]
    plain = [path for path in paths if path not in in_browser]
    everywhere = not paths or any(_lies_in(Path(path), str(TESTS)) for path in plain)
    return (
        [*(plain or [str(TESTS)]), f"--ignore={BROWSER_TESTS}", *options] if plain or everywhere else None,
        [*(in_browser or [str(BROWSER_TESTS)]), *options] if in_browser or everywhere else None,
    )


def _lies_in(folder: Path, argument: str) -> bool:
    path = Path(argument.partition("::")[0]).resolve()
    return path.exists() and path.is_relative_to(folder.resolve())


def _run(command: list[str]) -> int:
    print(f"\n$ {' '.join(command)}", flush=True)
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main(sys.argv[1:]))
