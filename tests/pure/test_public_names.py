"""What users may import: all of it, sorted, and nothing starts by importing."""

import ast
import inspect
import json
import subprocess
import sys
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tb_browser
from tb_browser import client, errors
from tb_browser.models import Wire

PACKAGE = Path(inspect.getfile(tb_browser)).parent
SEAMS = "tb_browser._ports"
"""Host, Transport and Storage: what tests replace, and no name of the everyday API."""


def public_members(kind: type) -> Iterator[Callable[..., Any]]:
    """Methods and properties that users call, their own and inherited from this package."""
    for name in dir(kind):
        member = inspect.getattr_static(kind, name)
        if not name.startswith("_") or name in ("__aenter__", "__enter__"):
            member = (
                member.fget if isinstance(member, property) else inspect.unwrap(member) if callable(member) else None
            )
            if inspect.isfunction(member) and member.__module__.startswith("tb_browser"):
                yield member


def named_in(annotation: Any) -> Iterator[type]:
    """Every class of this package that an annotation mentions, through aliases, unions and generics."""
    if isinstance(annotation, typing.TypeAliasType):
        yield from named_in(annotation.__value__)
    elif isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if annotation.__module__.startswith("tb_browser"):
            yield annotation
    elif isinstance(annotation, list):
        for inner in annotation:
            yield from named_in(inner)
    else:
        for inner in (typing.get_origin(annotation), *typing.get_args(annotation)):
            if isinstance(inner, type | list) or typing.get_args(inner) or isinstance(inner, typing.TypeAliasType):
                yield from named_in(inner)


def met_by_users() -> dict[str, str]:
    """Names of classes that the public functions, methods and models mention, and where."""
    met = dict[str, str]()
    for name in tb_browser.__all__:
        public = getattr(tb_browser, name)
        hints = dict[str, dict[str, Any]]()
        if inspect.isfunction(public):
            hints[name] = typing.get_type_hints(inspect.unwrap(public))
        elif isinstance(public, type):
            for member in public_members(public):
                if not is_observers(member):
                    hints[f"{name}.{member.__name__}"] = typing.get_type_hints(member)
            if issubclass(public, Wire):
                hints[f"{name}, a field"] = {key: info.annotation for key, info in public.model_fields.items()}
        for where, annotations in hints.items():
            for annotation in annotations.values():
                met |= {kind.__name__: where for kind in named_in(annotation) if kind.__module__ != SEAMS}
    return met


def is_observers(member: Callable[..., Any]) -> bool:
    """`Activity.on_delivered` and its kin are told by delivery and called by nobody else."""
    return member.__qualname__.startswith("Activity.on_")


def test_all_is_sorted_and_importable() -> None:
    """`__all__` is sorted, holds no name twice, and every name in it exists and is no module."""
    assert tb_browser.__all__ == sorted(set(tb_browser.__all__))
    for name in tb_browser.__all__:
        assert not name.startswith("_")
        assert not inspect.ismodule(getattr(tb_browser, name))


def test_all_holds_what_is_imported() -> None:
    """What `__init__` imports it exports, and the other way round."""
    imported = {
        alias.asname or alias.name
        for node in ast.parse((PACKAGE / "__init__.py").read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == set(tb_browser.__all__)


def test_every_error_is_public() -> None:
    """Whoever catches an error can import it, and every error belongs to the tree that the docstring draws."""
    defined = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and kind.__module__ == errors.__name__
    }
    assert defined <= set(tb_browser.__all__)
    drawn = errors.__doc__ or ""
    for name in defined - {"LossReason"}:
        assert issubclass(getattr(errors, name), errors.TimebackError)
        assert f" {name}" in drawn.replace("\n", " ")


def test_every_class_that_users_meet_is_public() -> None:
    """What a public signature mentions can be imported: parameters, results, fields of models."""
    met = met_by_users()
    assert {"Course", "Receipt", "Stats", "LossReason", "Retry", "TimeTracking", "Auth"} <= set(met)
    missing = {name: where for name, where in met.items() if name not in tb_browser.__all__}
    assert not missing, f"mentioned but not exported: {missing}"


def test_every_public_name_says_what_it_is_for() -> None:
    """Every public class, function, method and property has a docstring of its own."""
    silent = list[str]()
    for name in tb_browser.__all__:
        public = getattr(tb_browser, name)
        if isinstance(public, type | types.FunctionType) and not public.__dict__.get("__doc__", public.__doc__):
            silent.append(name)
        if isinstance(public, type):
            silent += [
                f"{name}.{member.__name__}"
                for member in public_members(public)
                if not (member.__doc__ or is_observers(member) or member.__name__.startswith("__"))
            ]
    assert silent == []


def test_create_client_and_start_take_what_the_specification_lists() -> None:
    """The parameters of api.md are there, all by keyword."""
    create = inspect.signature(inspect.unwrap(tb_browser.create_client)).parameters
    start = inspect.signature(inspect.unwrap(client.Activities.start)).parameters
    assert {"base_url", "auth", "credentials", "default_course", "user_key"} <= set(create)
    assert {
        "id",
        "name",
        "course",
        "run_id",
        "time",
        "process",
        "on_error",
        "on_pause",
        "on_resume",
        "on_flush",
    } <= set(start)
    keyword = inspect.Parameter.KEYWORD_ONLY
    assert {parameter.kind for name, parameter in [*create.items(), *start.items()] if name != "self"} == {keyword}


WATCHED = """
import json, sys, threading, atexit, asyncio, socket, warnings

def refuse(*args, **kwargs):
    raise AssertionError("importing must not do this")

asyncio.new_event_loop = asyncio.run = threading.Thread.start = socket.socket.connect = atexit.register = refuse
import tb_browser

print(json.dumps(sorted(sys.modules)))
"""


def test_importing_starts_nothing() -> None:
    """`import tb_browser` makes no loop, thread, connection or exit handler, and imports no edge of another world."""
    command = [sys.executable, "-W", "error", "-c", WATCHED]
    run = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    loaded = set(json.loads(run.stdout))
    assert "tb_browser" in loaded
    for name in ("httpx", "js", "pyodide", "pyodide_js", "playwright", "pytest", "tb_browser.testing"):
        assert name not in loaded, f"import tb_browser imports {name}"
    edges = {name for name in loaded if name.startswith(("tb_browser.hosts.", "tb_browser.transports."))}
    assert edges == set(), "an edge is imported before it is known where we are"
