"""The set-up of the two commands: what it believes, what it says when something is missing, what it leaves alone."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from dev import check, interpreter
from dev.console import ROOT, SetUpError, one_line_errors, run
from dev.uv import index_settings
from static import assemble
from static.pyodide_lock import LOCK, add_to_lock, rewrite_lock
from tb_browser.testing import chromium

LOCKS = ("demo/requirements.txt", "tests/requirements.txt", "static/wheels.txt", "dev/uv.txt")


def pins(lock: str) -> dict[str, str]:
    """The versions that a lock names."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / lock).read_text(), flags=re.MULTILINE))


def wheel(folder: Path, name: str, *, version: str = "1.0", needs: tuple[str, ...] = ()) -> Path:
    """A wheel with one empty package and the metadata that the lock is made from."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    requirements = "".join(f"Requires-Dist: {need}\n" for need in needs)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "")
        archive.writestr(
            f"{name}-{version}.dist-info/METADATA",
            f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n{requirements}",
        )
    return path


def shim(folder: Path, name: str, script: str) -> Path:
    """A program of that name that does what the shell script says."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_pin_by_hash_and_name_no_registry(lock: str) -> None:
    """Every package of a lock has a version and a hash; no lock names a host, so that any mirror serves."""
    text = (ROOT / lock).read_text()
    assert "://" not in text
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    assert entries
    assert all(re.match(r"\S+==\S+", entry) and "--hash=sha256:" in entry for entry in entries)


def test_the_npm_lock_pins_by_hash_and_names_no_registry() -> None:
    """Every package of npm's lock has its hash, and none the place that it once came from."""
    text = (ROOT / "static" / "package-lock.json").read_text()
    packages = {name: entry for name, entry in json.loads(text)["packages"].items() if name}
    assert packages
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())
    assert not any("resolved" in entry for entry in packages.values())


def test_the_tests_lock_holds_the_demos() -> None:
    """The demo and the tests share one environment, so the one lock is part of the other."""
    assert pins("demo/requirements.txt").items() <= pins("tests/requirements.txt").items()


def test_page_and_process_run_the_same_pydantic() -> None:
    """What the tests prove of the models on CPython holds in the browser."""
    names = ("pydantic", "pydantic-core")
    in_browser, on_python = pins("static/wheels.txt"), pins("tests/requirements.txt")
    assert [in_browser[name] for name in names] == [on_python[name] for name in names]


@pytest.mark.skipif(os.name != "posix", reason="shell scripts stand in for interpreters")
def test_an_interpreter_is_run_before_it_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pyenv shim of an inactive version, an old Python and another implementation are passed over."""
    for name, script in {
        "python3.12": "exit 127",
        "python3.13": "echo 'cpython|3|11|/old'",
        "python3.14": "echo 'pypy|3|14|/other'",
        "python3": "echo 'cpython|3|12|/fits'",
    }.items():
        shim(tmp_path, name, script)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.delenv("UV_PYTHON", raising=False)
    assert interpreter.find_interpreter() == "/fits"
    (tmp_path / "python3").unlink()
    assert interpreter.find_interpreter() is None


@pytest.mark.skipif(os.name != "posix", reason="shell scripts stand in for interpreters")
@pytest.mark.parametrize("root", ["PYENV_ROOT", "PATH"])
def test_pyenvs_versions_are_found_behind_its_shims(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An inactive version of pyenv serves, although its shim does not run, wherever pyenv lies."""
    (tmp_path / "versions" / "3.13.0" / "bin").mkdir(parents=True)
    (tmp_path / "shims").mkdir()
    shim(tmp_path / "versions" / "3.13.0" / "bin", "python", "echo 'cpython|3|13|/inactive'")
    shim(tmp_path / "shims", "python3.13", "exit 127")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv(root, str(tmp_path / "shims" if root == "PATH" else tmp_path))
    monkeypatch.delenv("UV_PYTHON", raising=False)
    assert interpreter.find_interpreter() == "/inactive"


def test_uv_uses_the_index_that_pip_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror that pip is set to serves uv too, unless uv has a setting of its own."""
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    monkeypatch.delenv("UV_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://mirror.invalid/simple")
    assert index_settings() == {"UV_DEFAULT_INDEX": "http://mirror.invalid/simple"}
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://own.invalid/simple")
    assert index_settings() == {}


def test_a_failing_tool_gives_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """What the tool says last of its error is told, with what to do, and no traceback."""
    script = "import sys; print('error: no route', 'more', sep='\\n'); sys.exit(3)"
    with pytest.raises(SystemExit) as exit_info, one_line_errors():
        run([sys.executable, "-c", script], doing="fetch a thing", remedy="Check the network.")
    said = capsys.readouterr().err.splitlines()
    assert exit_info.value.code == 1
    assert said[-1].startswith("error: cannot fetch a thing: error: no route. Check the network.")
    assert not any("Traceback" in line for line in said)


def test_a_missing_tool_gives_one_line() -> None:
    """A program that is not there is a set-up error too, not an exception of Python's."""
    with pytest.raises(SetUpError, match=r"cannot try it: .*nowhere.*\. Install it\."):
        run(["/nowhere/tool"], doing="try it", remedy="Install it.")


def test_the_lock_names_exactly_the_wheels_served(tmp_path: Path) -> None:
    """In the place of npm's list stand the wheels that are served, with their hashes and a browser's needs."""
    info = {"python": "3.14.2"}
    (tmp_path / LOCK).write_text(json.dumps({"info": info, "packages": {"numpy": {"file_name": "numpy.whl"}}}))
    needs = (
        "Pyodide_HTTP>=0.2; sys_platform == 'emscripten'",
        "httpx; sys_platform != 'emscripten'",
        "x; extra == 'y'",
    )
    first = wheel(tmp_path, "some_part", needs=needs)
    rewrite_lock(tmp_path)
    lock = json.loads((tmp_path / LOCK).read_text())
    assert lock["info"] == info
    assert list(lock["packages"]) == ["some-part"]
    entry = lock["packages"]["some-part"]
    assert entry["depends"] == ["pyodide-http"]
    assert entry["imports"] == ["some_part"]
    assert entry["sha256"] == hashlib.sha256(first.read_bytes()).hexdigest()


def test_a_wheel_elsewhere_is_named_by_its_relative_path(tmp_path: Path) -> None:
    """tb_browser's own wheel lies beside the folder of Pyodide, and a new one takes the place of the old."""
    pyodide, wheels = tmp_path / "pyodide", tmp_path / "wheels"
    pyodide.mkdir()
    wheels.mkdir()
    (pyodide / LOCK).write_text(json.dumps({"info": {"python": "3.14.2"}, "packages": {}}))
    for version in ("1.0", "1.1"):
        add_to_lock(pyodide, wheel(wheels, "own", version=version))
    packages = json.loads((pyodide / LOCK).read_text())["packages"]
    assert {name: entry["file_name"] for name, entry in packages.items()} == {
        "own": "../wheels/own-1.1-py3-none-any.whl"
    }


def test_a_second_assembly_fetches_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are fetched once; a lost file, as after an interruption, brings them back; a new source only the wheel."""
    done: list[str] = []

    def fetch_parts(target: Path) -> None:
        done.append("parts")
        (target / "pyodide").mkdir(parents=True)
        (target / "pyodide" / "part").write_text("part")

    def build_wheel(folder: Path) -> Path:
        done.append("wheel")
        return folder

    source = ROOT / "LICENSE"
    monkeypatch.setattr(assemble, "WORK", tmp_path / "work")
    monkeypatch.setattr(assemble, "fetch_parts", fetch_parts)
    monkeypatch.setattr(assemble, "build_wheel", build_wheel)
    monkeypatch.setattr(assemble, "place_wheel", lambda *_: None)
    monkeypatch.setattr(assemble, "wheel_sources", lambda: [source])
    dist = tmp_path / "dist"
    assemble.assemble(dist)
    assert done == ["parts", "wheel"]
    assemble.assemble(dist)
    assert done == ["parts", "wheel"]
    source = ROOT / "pyproject.toml"
    assemble.assemble(dist)
    assert done == ["parts", "wheel", "wheel"]
    (dist / "pyodide" / "part").unlink()
    assemble.assemble(dist)
    assert done == ["parts", "wheel", "wheel", "parts", "wheel"]


def test_the_wheel_holds_the_package_alone() -> None:
    """What users install is tb_browser, typed, its pytest plugin, and nothing of the demo, the tests or the set-up."""
    (built,) = (assemble.assemble() / "wheels").glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        names = archive.namelist()
    info = f"{'-'.join(built.name.split('-')[:2])}.dist-info"
    assert {name.split("/")[0] for name in names} == {"tb_browser", "tb_browser_pytest.py", info}
    assert "tb_browser/py.typed" in names


def test_a_missing_browser_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any Chromium, and with a wrong TB_BROWSER_CHROMIUM, one error says what to do."""
    chromium.find_chromium.cache_clear()
    monkeypatch.setenv("TB_BROWSER_CHROMIUM", str(tmp_path / "gone"))
    with pytest.raises(chromium.ChromiumNotFoundError, match="Correct or unset it"):
        chromium.find_chromium()
    monkeypatch.delenv("TB_BROWSER_CHROMIUM")
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(chromium.ChromiumNotFoundError, match="playwright install chromium"):
        chromium.find_chromium()


@pytest.mark.parametrize(
    ("arguments", "plain", "browser"),
    [
        (["-k", "demo"], True, True),
        (["tests/pure"], True, False),
        (["tests/browser/conftest.py::test_x"], False, True),
        (["tests"], True, True),
    ],
)
def test_arguments_choose_the_suites(
    arguments: list[str], *, plain: bool, browser: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test files named on the command line go to the process of their kind; options alone go to both."""
    monkeypatch.chdir(ROOT)
    shares = check._shares(arguments)
    assert [share is not None for share in shares] == [plain, browser]
    assert all(share is None or "-k" in share for share in shares) == ("-k" in arguments)


def test_the_bootstrap_runs_on_python_3_11() -> None:
    """What runs before a later Python is found is within the standard library and the grammar of 3.11."""
    files = [ROOT / "dev" / f"{name}.py" for name in ("console", "environment", "interpreter", "locking", "uv")]
    files += [ROOT / folder / name for folder in ("demo", "tests") for name in ("__init__.py", "__main__.py")]
    selected = ["--isolated", "--target-version", "py311", "--select", "F", "--no-cache"]
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *selected, *files], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    imported = {
        match
        for file in files
        for match in re.findall(r"^\s*(?:from|import) (\w+)", file.read_text(), flags=re.MULTILINE)
    }
    assert imported <= {*sys.stdlib_module_names, "dev"}


def test_the_project_asks_for_what_the_set_up_finds() -> None:
    """The oldest Python of the package and that of the set-up are the same."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={'.'.join(map(str, interpreter.OLDEST))}"
