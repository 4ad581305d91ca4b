"""Bad input gets an error that names the field, what was wrong and what would be right."""

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import wraps
from typing import Any, Final, TypeGuard, get_args

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel, to_snake
from pydantic_core import ErrorDetails

from tb_browser.errors import InvalidInputError

SHOWN: Final = 60
"""So many characters of a wrong value are quoted."""


def as_mapping(field: str, given: object, remedy: str) -> dict[str, Any]:
    """A mapping as a dict; an object from JavaScript counts as one. Raises InvalidInputError."""
    mapping = from_js(given)
    if not _is_mapping(mapping):
        raise InvalidInputError(field, f"{_shown(given)} is no mapping", remedy)
    return {str(key): value for key, value in mapping.items()}


def from_js(value: Any) -> Any:
    """Python's own for objects of JavaScript, functions excepted, and None for its `null`; also inside mappings."""
    if type(value).__name__ == "JsNull":
        return None
    if hasattr(value, "to_py") and not callable(value):
        value = value.to_py()
    return {key: from_js(inner) for key, inner in value.items()} if _is_mapping(value) else value


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
        raise explained(model, error, prefix, remedy) from None


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
                named[snake] = from_js(value)
            for name, parameter in known.items():
                if parameter.default is parameter.empty and name not in named:
                    raise InvalidInputError(name, "it is missing", _remedy(model, (name,)))
            return function(*args, **named)

        return checked

    return decorate


def explained(
    model: type[BaseModel], error: ValidationError, prefix: str = "", remedy: str | None = None
) -> InvalidInputError:
    """Our error for what pydantic found: a misspelt key first, as it may be why another one is missing."""
    found = error.errors()
    first = next((details for details in found if details["type"] == "extra_forbidden"), found[0])
    location = _location(model, first)
    # Of several kinds that a value may be, the last one is the widest: a number, not an integer.
    details = [details for details in found if _location(model, details) == location][-1]
    field = ".".join([prefix, *location] if prefix else location) or model.__name__
    match details["type"]:
        case "missing":
            problem = "it is missing"
        case "extra_forbidden":
            parent = _inner(model, location[:-1]) or model
            if (
                str(details["loc"][-1]) in (location[-1], to_camel(location[-1]))
                and location[-1] in parent.model_fields
            ):
                return InvalidInputError(field, "it is given in both spellings", f"Give {location[-1]} alone.")
            return InvalidInputError(field, "there is no such key", _nearest(location[-1], parent.model_fields))
        case "value_error":
            told = details.get("ctx", {}).get("error")
            if isinstance(told, InvalidInputError):  # from a rule between fields, which knows better
                return InvalidInputError(
                    ".".join([prefix, *location, told.field]).strip("."), told.problem, told.remedy
                )
            problem = f"{details['msg'].removeprefix('Value error, ')}, got {_shown(details['input'])}"
        case "string_pattern_mismatch":
            problem = f"{_shown(details['input'])} has characters that do not belong in a URL"
        case _:
            problem = f"{details['msg'][:1].lower()}{details['msg'][1:]}, got {_shown(details['input'])}"
    return InvalidInputError(field, problem, _remedy(model, location) if location or not remedy else remedy)


def _location(model: type[BaseModel], details: ErrorDetails) -> tuple[str, ...]:
    """The fields that lead to what is wrong, without pydantic's names for the kinds of a union."""
    location = tuple(to_snake(part) if isinstance(part, str) else str(part) for part in details["loc"])
    while len(location) > 1 and _inner(model, location[:-1]) is None:
        location = location[:-1]
    return location


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    asked = to_snake(name)
    near = [full for full in known if full.startswith(asked)] or get_close_matches(asked, known, n=1, cutoff=0.5)
    return (f"Did you mean {near[0]!r}? " if near else "") + f"Known: {', '.join(known)}."


def _remedy(model: type[BaseModel], location: tuple[str, ...]) -> str:
    parent = _inner(model, location[:-1]) or model
    info = parent.model_fields.get(location[-1]) if location else None
    return (info.description if info else None) or inspect.getdoc(parent) or ""


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
