"""Bad input gets an error that names the field, what was wrong and what would be right."""

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import wraps
from typing import Any, Final, TypeGuard, get_args

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_snake
from pydantic_core import ErrorDetails

from tb_browser.errors import InvalidInputError

SHOWN: Final = 60
"""So many characters of a wrong value are quoted."""


def as_mapping(field: str, given: object, remedy: str) -> dict[str, Any]:
    """A mapping as a dict; an object from JavaScript counts as one. Raises InvalidInputError."""
    to_py = getattr(given, "to_py", None)
    mapping: object = to_py() if callable(to_py) else given
    if not _is_mapping(mapping):
        raise InvalidInputError(field, f"{_shown(given)} is no mapping", remedy)
    return {str(key): without_js_null(value) for key, value in mapping.items()}


def without_js_null(value: Any) -> Any:
    """None for JavaScript's `null`, which Pyodide tells from `undefined`; also inside mappings."""
    if type(value).__name__ == "JsNull":
        return None
    return {key: without_js_null(inner) for key, inner in value.items()} if _is_mapping(value) else value


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def validated[Model: BaseModel](
    model: type[Model], given: Mapping[str, Any], prefix: str = "", remedy: str | None = None
) -> Model:
    """An instance of the model. Raises InvalidInputError for the first thing that is wrong.

    `prefix` is the argument's own name, and `remedy` what would be right for it as a whole.
    """
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise _explained(model, error.errors()[0], prefix, remedy) from None


def keywords[**P, R](model: type[BaseModel]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a keyword-only function take camelCase too, and explain missing and unknown names.

    The remedies come from the model's field of the same name.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters.values()
        known = {parameter.name: parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}

        @wraps(function)
        def checked(*args: P.args, **given: P.kwargs) -> R:
            named = dict[str, Any]()
            for name, value in given.items():
                snake = name if name in known else to_snake(name)
                if snake not in known:
                    raise InvalidInputError(name, "there is no such argument", _nearest(name, known))
                if snake in named:
                    raise InvalidInputError(name, "it is given in both spellings", f"Give {snake} alone.")
                named[snake] = without_js_null(value)
            for name, parameter in known.items():
                if parameter.default is parameter.empty and name not in named:
                    raise InvalidInputError(name, "it is missing", _remedy(model, (name,)))
            return function(*args, **named)

        return checked

    return decorate


def _explained(model: type[BaseModel], details: ErrorDetails, prefix: str, remedy: str | None) -> InvalidInputError:
    location = tuple(to_snake(part) if isinstance(part, str) else str(part) for part in details["loc"])
    field = ".".join([prefix, *location] if prefix else location) or model.__name__
    match details["type"]:
        case "missing":
            problem = "it is missing"
        case "extra_forbidden":
            parent = _inner(model, location[:-1]) or model
            return InvalidInputError(field, "there is no such key", _nearest(location[-1], parent.model_fields))
        case "value_error":
            problem = f"{details['msg'].removeprefix('Value error, ')}, got {_shown(details['input'])}"
        case "string_pattern_mismatch":
            problem = f"{_shown(details['input'])} has characters that do not belong in a URL"
        case _:
            problem = f"{details['msg'][:1].lower()}{details['msg'][1:]}, got {_shown(details['input'])}"
    return InvalidInputError(field, problem, _remedy(model, location) if location or not remedy else remedy)


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(to_snake(name), known, n=1, cutoff=0.5)
    return (f"Did you mean {near[0]!r}? " if near else "") + f"Known: {', '.join(known)}."


def _remedy(model: type[BaseModel], location: tuple[str, ...]) -> str:
    parent = _inner(model, location[:-1]) or model
    info = parent.model_fields.get(location[-1]) if location else None
    return (info.description if info else None) or f"See the documentation of {parent.__name__}."


def _inner(model: type[BaseModel], location: tuple[str, ...]) -> type[BaseModel] | None:
    for name in location:
        info = model.model_fields.get(name)
        inner = [info.annotation, *get_args(info.annotation)] if info else []
        models = [kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not models:
            return None
        model = models[0]
    return model


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
