"""The house has floors, and each imports only from its own and from below (the package's layout; read by ast)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tb_browser

PACKAGE = Path(tb_browser.__file__).parent

FLOORS = {
    # 0, ground: the errors, what users give, the seams
    "errors": 0,
    "_arguments": 0,
    "models": 0,
    "_ports": 0,
    # 1, logic: no I/O, time comes in as an argument
    "_ledger": 1,
    "_outbox": 1,
    "_tracker": 1,
    "auth": 1,
    # 2, edges: clocks, timers, the page's life, storage, requests
    "_shelf": 2,
    "hosts": 2,
    "transports": 2,
    # 3, shell: the live objects, which feed signals and perform effects
    "_callbacks": 3,
    "activity": 3,
    "backlog": 3,
    "client": 3,
    "courier": 3,
    "delivery": 3,
    "user": 3,
    "": 3,  # tb_browser/__init__.py: names only
    # 4, bindings: optional, each its own file, imported by nothing below
    "javascript": 4,
    "notebook": 4,
    "pytest_plugin": 4,
    "testing": 4,
    "widget": 4,
}
BROWSER_FILES = {
    "javascript",
    "hosts",
    "hosts.browser",
    "hosts.page",
    "hosts.page_locks",
    "hosts.page_storage",
    "hosts.worker",
    "transports.fetch",
}
"""Where `js` and `pyodide` may appear; `hosts` itself only asks whether there is a page."""
OUTER_WORLD = {"asyncio", "time", "random", "secrets", "uuid", "threading", "socket", "os", "httpx", "atexit"}
"""What the logic must not know: where it needs a clock, dice or a request, they come in as arguments."""


def modules() -> dict[str, Path]:
    """Every module by its dotted name in the package; the package itself is "", and hosts/__init__.py is "hosts"."""
    found = dict[str, Path]()
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def listed_floor(module: str) -> int | None:
    """A module's floor is its own, or its folder's; None if nobody has said which."""
    name = module
    while name and name not in FLOORS:
        name = name.rpartition(".")[0]
    return FLOORS[name] if name or not module else None


def floor_of(module: str) -> int:
    floor = listed_floor(module)
    if floor is None:
        pytest.fail(
            f"tb_browser/{module.replace('.', '/')}.py stands on no floor: add it to FLOORS in {Path(__file__).name}, "
            "as low as what it imports allows, and to the table of floors in the documentation."
        )
    return floor


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, also by `import_module("…")` and `__import__("…")`."""
    package = ["tb_browser", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (above, node.module) if part)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                yield str(node.args[0].value)


def own_imports(path: Path) -> set[str]:
    """The package's modules that a file imports; a name imported from a module counts as that module."""
    known = modules()
    wanted = {name.removeprefix("tb_browser").lstrip(".") for name in imports_of(path) if is_own(name)}
    return {name if name in known else name.rpartition(".")[0] for name in wanted}


def is_own(name: str) -> bool:
    return name == "tb_browser" or name.startswith("tb_browser.")


def outside(path: Path) -> set[str]:
    """The top names of everything else that a file imports."""
    return {name.split(".")[0] for name in imports_of(path) if not is_own(name)}


@pytest.mark.parametrize("module", sorted(modules()))
def test_no_floor_imports_upwards(module: str) -> None:
    """A module imports from its own floor and from below."""
    for imported in own_imports(modules()[module]):
        if imported == "" and floor_of(module) < 4:
            continue  # `from tb_browser import x` names a module or comes from above: the next test tells
        assert floor_of(imported) <= floor_of(module), f"{module or 'tb_browser'} imports {imported} from above"


@pytest.mark.parametrize("module", sorted(modules()))
def test_only_bindings_import_the_package_itself(module: str) -> None:
    """Inside, names come from the module that defines them; only floor 4 uses the public ones."""
    path, known = modules()[module], modules()
    if floor_of(module) < 4:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "tb_browser":
                assert all(alias.name in known for alias in node.names)


@pytest.mark.parametrize("module", sorted(modules()))
def test_the_browser_appears_in_browser_files_alone(module: str) -> None:
    """`js` and `pyodide` are imported by the edges that stand in a page, and by nothing else."""
    imported = outside(modules()[module]) & {"js", "pyodide", "pyodide_js", "pyodide_http", "pyscript", "micropip"}
    assert module in BROWSER_FILES or not imported, f"{module} imports {imported}"


@pytest.mark.parametrize("module", sorted(name for name in modules() if listed_floor(name) in (0, 1)))
def test_the_logic_knows_no_clock_and_no_dice(module: str) -> None:
    """Below floor 2 there is no I/O, no clock, no randomness, no event loop."""
    imported = outside(modules()[module]) & OUTER_WORLD
    assert not imported, f"{module} imports {imported}"


@pytest.mark.parametrize("module", sorted(name for name in modules() if listed_floor(name) == 3))
def test_the_shell_leaves_clocks_and_dice_to_the_host(module: str) -> None:
    """The shell asks the host for time and randomness, so that a test can drive them."""
    assert not outside(modules()[module]) & {"time", "random", "secrets", "uuid", "threading", "socket", "httpx"}


def test_every_floor_in_the_list_is_a_module_or_still_to_come() -> None:
    """The list of floors names no module that is gone."""
    to_come = {"notebook", "pytest_plugin", "widget"}
    assert set(FLOORS) - to_come <= set(modules())


def test_a_module_without_a_floor_is_told_so() -> None:
    """Whoever adds a module learns what to do."""
    with pytest.raises(pytest.fail.Exception, match=r"tb_browser/new_thing\.py stands on no floor"):
        floor_of("new_thing")


def test_imports_are_found_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In functions, relative, by name, and through `import_module`."""
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    (tmp_path / "hosts").mkdir()
    file = tmp_path / "hosts" / "x.py"
    file.write_text(
        "import time\ndef f():\n    from . import page\n    from ..models import Course\n"
        "    import importlib\n    importlib.import_module('js.console')\n    __import__('random')\n"
    )
    assert {"time", "importlib", "js.console", "random"} <= set(imports_of(file))
    assert {"tb_browser.hosts.page", "tb_browser.models", "tb_browser.models.Course"} <= set(imports_of(file))
