"""`.venv/bin/python -m dev.reference`: write docs/reference.md anew from the docstrings."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import tb_browser
from dev.console import ROOT
from tb_browser import errors, javascript

PAGE = ROOT / "docs" / "reference.md"
HEAD = """# Reference

Made from the docstrings by `.venv/bin/python -m dev.reference`; change those, not this page. All names come from
`tb_browser`. How time is counted stands in [time.md](time.md), how it arrives in [delivery.md](delivery.md), and the
TypeScript names beside ours in [typescript.md](typescript.md).
"""
CHAPTERS = {
    "The client": ("create_client", "bearer", "Auth", "Timeback", "Activities", "User"),
    "An activity": ("Activity",),
    "What is given": ("Course", "TimeTracking", "Retry", "Metrics", "TimeSpent"),
    "What comes back": ("Receipt", "Stats", "LossReason", "ErrorContext", "Verification", "Profile"),
    "Parts of a profile": ("School", "EnrolledCourse", "Goals", "Xp"),
}
NOT_FOR_USERS = {"Activity": ("on_", "counted_until_ms"), "Auth": ("ask", "flow", "last_known")}
"""What other modules of the house call; users have no use for it."""
SPELLED_OUT = {
    "Text": "str",
    "PositiveMs": "int",
    "SessionMs": "int",
    "CourseInput": "Course | Mapping[str, Any]",
    "Handler": "Callable",
}


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, names in CHAPTERS.items():
        parts += [f"## {title}\n", *(_entry(getattr(tb_browser, name)) for name in names)]
    tree = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.TimebackError)]
    parts += [f"## Errors\n\n{_text(errors.__doc__)}\n", *map(_entry, tree)]
    parts += [f"## JavaScript\n\n{_text(javascript.__doc__)}\n\nIt is imported from `tb_browser.javascript`.\n"]
    parts += [_entry(javascript.publish)]
    return "\n".join(parts)


def _entry(public: Any) -> str:
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(public)))).body
    if isinstance(node, ast.FunctionDef):
        return f"### `{node.name}`\n\n{_signature(node)}\n\n{_text(ast.get_docstring(node))}\n"
    members = "".join(_members(node)) if isinstance(node, ast.ClassDef) else ""
    return f"### `{public.__name__}`\n\n{_text(inspect.getdoc(public))}\n" + (f"\n{members}" if members else "")


def _members(node: ast.ClassDef) -> Iterator[str]:
    for member, follower in zip(node.body, [*node.body[1:], None], strict=True):
        name = _name(member)
        if isinstance(member, ast.FunctionDef) and name == "__init__" and node.name.endswith("Error"):
            yield from (f"- {argument}\n" for argument in _kept(member))
        if name is None or name.startswith(("_", "model_config", "read", *NOT_FOR_USERS.get(node.name, ()))):
            continue
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
            is_property = any(isinstance(mark, ast.Name) and mark.id == "property" for mark in member.decorator_list)
            shown = f"`{name}`: {_type(member.returns)}" if is_property else f"`{_call(member)}`"
            said = ast.get_docstring(member)
        else:
            shown = f"`{name}`{_field(member)}"
            said = _docstring_of_field(member, follower)
        yield f"- {shown}\n" + (textwrap.indent(f"\n{_text(said)}\n", "  ") if said else "")


def _kept(init: ast.FunctionDef) -> Iterator[str]:
    """The arguments of an error that become its attributes."""
    body = ast.unparse(init)
    for argument in [*init.args.args, *init.args.kwonlyargs]:
        if f"self.{argument.arg} = {argument.arg}" in body:
            yield f"`{argument.arg}`: {_type(argument.annotation)}"


def _name(member: ast.stmt) -> str | None:
    match member:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case _:
            return None


def _field(member: ast.stmt) -> str:
    if not isinstance(member, ast.AnnAssign):  # a member of an enumeration
        return f" = {ast.unparse(member.value)}" if isinstance(member, ast.Assign) else ""
    default = f" = {ast.unparse(member.value)}" if member.value is not None else ""
    return f": {_type(member.annotation)}{default}"


def _docstring_of_field(member: ast.stmt, follower: ast.stmt | None) -> str | None:
    match follower:
        case ast.Expr(value=ast.Constant(value=str(said))):
            return inspect.cleandoc(said)
        case _:
            described = [
                keyword.value.value
                for node in ast.walk(member)
                if isinstance(node, ast.Call)
                for keyword in node.keywords
                if keyword.arg == "description" and isinstance(keyword.value, ast.Constant)
            ]
            return str(described[0]) if described else None


def _type(annotation: ast.expr | None) -> str:
    match annotation:
        case None:
            return ""
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[kind, *_])):
            return _type(kind)
        case ast.Subscript(value=ast.Name(id="ClassVar"), slice=kind):
            return _type(kind)
        case _:
            text = ast.unparse(annotation)
            for alias, kind in SPELLED_OUT.items():
                text = text.replace(alias, kind) if text.startswith(alias) else text
            return text


def _call(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """How it is called, short: names and defaults."""
    arguments = [*node.args.posonlyargs, *node.args.args]
    given = [argument.arg for argument in arguments if argument.arg != "self"]
    defaults = [ast.unparse(default) for default in node.args.defaults]
    given[len(given) - len(defaults) :] = [
        f"{name}={default}" for name, default in zip(given[len(given) - len(defaults) :], defaults, strict=True)
    ]
    for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        given.append(argument.arg + (f"={ast.unparse(default)}" if default is not None else "=…"))
    if node.args.kwarg is not None:
        given.append(f"**{node.args.kwarg.arg}")
    is_async = isinstance(node, ast.AsyncFunctionDef) or "Coroutine" in ast.unparse(node.returns or ast.Constant(None))
    returns = _returns(node.returns)
    return f"{'await ' if is_async else ''}{node.name}({', '.join(given)}){f' -> {returns}' if returns else ''}"


def _returns(annotation: ast.expr | None) -> str:
    match annotation:
        case ast.Constant(value=None):
            return ""
        case ast.Subscript(value=ast.Name(id="Coroutine"), slice=ast.Tuple(elts=[*_, result])):
            return ast.unparse(result)
        case _:
            return _type(annotation)


def _signature(node: ast.FunctionDef) -> str:
    lines = [f"    {argument}," for argument in _arguments(node)]
    return "\n".join(["```python", f"{node.name}(", *lines, f") -> {_type(node.returns)}", "```"])


def _arguments(node: ast.FunctionDef) -> Iterator[str]:
    positional = node.args.args
    defaults = [None] * (len(positional) - len(node.args.defaults)) + node.args.defaults
    for argument, default in zip(positional, defaults, strict=True):
        yield f"{argument.arg}: {_type(argument.annotation)}" + (f" = {ast.unparse(default)}" if default else "")
    if node.args.kwonlyargs:
        yield "*"
    for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        yield f"{argument.arg}: {_type(argument.annotation)}" + (f" = {ast.unparse(default)}" if default else "")


def _text(docstring: str | None) -> str:
    return inspect.cleandoc(docstring or "")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
