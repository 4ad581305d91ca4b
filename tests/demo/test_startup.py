"""The server starts with one line, or says in one line why it cannot."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from demo import server
from demo.official import RealPlatform
from demo.platform import PlatformStandIn
from demo.serving import listen

ROOT = Path(__file__).parents[2]

# The command as its users start it, but over a folder of assets made for the test.
COMMAND = """
import pathlib, sys
from demo import server

server.STATIC = pathlib.Path(sys.argv[1])
sys.exit(server.main(sys.argv[2:]))
"""


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    """A folder that has every part that is needed."""
    for name in ("pyodide/pyodide.mjs", "pyodide/pyodide-lock.json", "pyscript/core.js", "pyscript/core.css"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "tb_browser-0.1.0-py3-none-any.whl").touch()
    return tmp_path


@contextmanager
def started(assets: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIMEBACK_")}
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(assets), "--database", str(assets / "db"), *arguments],
        cwd=ROOT,
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def refusal(assets: Path, *arguments: str, **environment: str) -> str:
    """Start what cannot start; the one line that it says."""
    with started(assets, *arguments, **environment) as process:
        out, error = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, "")
    assert error.count("\n") == 1
    return error


def test_it_prints_the_address(assets: Path) -> None:
    """It says which address to open, that address answers, and an interrupt ends it quietly."""
    with started(assets, "--port", "0") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"Open (http://127\.0\.0\.1:\d+/)", line)
        assert found is not None
        assert httpx.get(found[1]).status_code == 200
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=10)
    assert error == ""


def test_a_port_in_use(assets: Path) -> None:
    """A port in use is one line that names it and what to do, with exit code 2."""
    taken = listen("127.0.0.1", 0)
    port = str(taken.getsockname()[1])
    with taken:
        line = refusal(assets, "--port", port)
    assert port in line
    assert "--port" in line


def test_missing_parts(assets: Path) -> None:
    """Missing parts are named, with the command that makes them."""
    (assets / "pyodide" / "pyodide.mjs").unlink()
    (assets / "wheels" / "tb_browser-0.1.0-py3-none-any.whl").unlink()
    line = refusal(assets)
    assert "pyodide/pyodide.mjs" in line
    assert "tb_browser" in line
    assert "python3 -m demo" in line


def test_a_database_that_cannot_be_used(assets: Path) -> None:
    """A database that cannot be opened, or is none, is one line that says so."""
    assert "--database" in refusal(assets, "--database", str(assets / "missing" / "db"))
    (assets / "text").write_text("not a database, but a text that is long enough to be none")
    assert "--database" in refusal(assets, "--database", str(assets / "text"))


def test_a_host_that_is_not_here(assets: Path) -> None:
    """An address that is no address of this machine is one line too."""
    assert "192.0.2.1" in refusal(assets, "--host", "192.0.2.1")
    assert "70000" in refusal(assets, "--port", "70000")


def test_half_of_the_credentials(assets: Path) -> None:
    """Some of the three variables are not enough: the missing ones are named."""
    line = refusal(assets, TIMEBACK_ENV="staging", TIMEBACK_CLIENT_ID="id")
    assert "TIMEBACK_CLIENT_SECRET" in line


def test_which_platform() -> None:
    """None of the variables is the stand-in, all of them the real platform, another environment an error."""
    credentials = {"TIMEBACK_CLIENT_ID": "id", "TIMEBACK_CLIENT_SECRET": "secret"}
    assert isinstance(server.platform_from({}), PlatformStandIn)
    assert server.platform_from(credentials | {"TIMEBACK_ENV": "production"}) == RealPlatform(
        "production", "id", "secret"
    )
    with pytest.raises(server.StartError, match="staging or production"):
        server.platform_from(credentials | {"TIMEBACK_ENV": "local"})
