"""Turn pydantic's complaints into one line each: where, what was found, what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from workflow.settings.fields import all_names, discriminator_of, models_in, tags_of

Path = tuple[str | int, ...]
_Located = tuple[Path, type[BaseModel] | None, dict[str, Any]]
_PLAIN_WORDS = {"an object": "settings inside it", "a valid array": "a list"}


class SettingsError(ValueError):
    """Settings that cannot be used; the message has one line per problem."""


def dotted(path: Path) -> str:
    """Return a path of keys and list indices as one dotted name."""
    return ".".join(str(step) for step in path)


def explain(
    error: ValidationError, model: type[BaseModel], data: Mapping[str, Any], place: Callable[[Path], str]
) -> SettingsError:
    """Return ``error`` as one line per problem.

    Parameters
    ----------
    error
        What pydantic found wrong with ``data``.
    model
        The settings that were asked for; nearest right names come from its fields.
    data
        What was read.
    place
        Says where a key came from, such as ``al.yaml:12``.
    """
    details = [dict(detail) for detail in error.errors(include_url=False)]
    located = [(*_locate(model, data, detail), detail) for detail in details]
    problems: dict[str, list[str]] = {}
    for path, owner, detail in _without_other_types(located):
        found, expected = _found_and_expected(detail, path, owner, model)
        head = ": ".join(part for part in (place(path), dotted(path), found) if part)
        problems.setdefault(head, []).append(expected)
    return SettingsError("\n".join(head + _joined(expected) for head, expected in problems.items()))


def _without_other_types(located: Sequence[_Located]) -> Iterator[_Located]:
    """Leave out what a union's other types complain of where one type fits and its content does not."""
    for path, owner, detail in located:
        fits_elsewhere = any(
            other[: len(path)] == path and (len(other) > len(path) or not _wrong_type(problem))
            for other, _, problem in located
        )
        if not (_wrong_type(detail) and fits_elsewhere):
            yield path, owner, detail


def _wrong_type(detail: Mapping[str, Any]) -> bool:
    return str(detail["type"]).endswith("_type")


def _joined(expected: Sequence[str]) -> str:
    said = list(dict.fromkeys(text for text in expected if text))
    return f"; expected {' or '.join(said)}" if said else ""


def _found_and_expected(
    detail: dict[str, Any], path: Path, owner: type[BaseModel] | None, root: type[BaseModel]
) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown setting{_suggestion(path, owner, root)}", ""
    if kind == "missing":
        field = owner.model_fields.get(str(path[-1])) if owner else None
        meaning = f": {field.description.splitlines()[0]}" if field and field.description else ""
        return f"missing setting{meaning}", ""
    if kind in {"value_error", "assertion_error"}:
        return str(context.get("error", detail["msg"])), ""
    if kind == "union_tag_not_found":
        return f"missing setting {context['discriminator']}", f"one of {_unquoted(context, owner, path)}"
    if kind == "union_tag_invalid":
        return f"found {context['tag']!r}", f"one of {context['expected_tags']}"
    return f"found {_short(detail['input'])}", _lowered(detail["msg"])


def _unquoted(context: Mapping[str, Any], owner: type[BaseModel] | None, path: Path) -> str:
    field = owner.model_fields.get(str(path[-1])) if owner and path else None
    discriminator = str(context["discriminator"]).strip("'")
    tags = (
        [tag for choice in models_in(field.annotation) for tag in tags_of(choice, discriminator)]
        if field
        else []
    )
    return ", ".join(repr(tag) for tag in tags) or "its kinds"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _lowered(message: str) -> str:
    text = message.removeprefix("Input should be ").removeprefix("Value should be ")
    return _PLAIN_WORDS.get(text, text[:1].lower() + text[1:])


# -- nearest right names -------------------------------------------------------------------------------------


def _suggestion(path: Path, owner: type[BaseModel] | None, root: type[BaseModel]) -> str:
    """Say which setting was probably meant: a sibling first, then one of that name anywhere."""
    if owner is None:
        return ""
    name = str(path[-1])
    siblings = list(owner.model_fields)
    close = difflib.get_close_matches(name, siblings, n=1, cutoff=0.75)
    close = close or [sibling for sibling in siblings if sibling.startswith(f"{name}_")][:1]
    if close:
        return f"; did you mean {close[0]}?"
    everywhere = dict(all_names(root))
    if dotted(tuple(step for step in path if isinstance(step, str))) in everywhere:
        return f" of this kind; expected one of {', '.join(siblings)}"
    nearest = difflib.get_close_matches(name, set(everywhere.values()), n=1, cutoff=0.8)
    far = [elsewhere for elsewhere, its_name in everywhere.items() if its_name in nearest]
    if far:
        return f"; did you mean {far[0]}?"
    close = difflib.get_close_matches(name, siblings, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; expected one of {', '.join(siblings)}"


# -- from pydantic's location to the user's key --------------------------------------------------------------


def _locate(
    model: type[BaseModel], data: Any, detail: Mapping[str, Any]
) -> tuple[Path, type[BaseModel] | None]:
    """Return the path as the user wrote it, and the settings that own its last key.

    Pydantic puts the tag of a discriminated union, and the name of each tried type of any other union, into
    the location; the user wrote neither.
    """
    path: list[str | int] = []
    owner: type[BaseModel] | None = model
    choices: list[type[BaseModel]] = [model]
    discriminator: str | None = None
    location: Sequence[str | int] = detail["loc"]
    for i, step in enumerate(location):
        if discriminator and step in {tag for c in choices for tag in tags_of(c, discriminator)}:
            choices = [c for c in choices if step in tags_of(c, discriminator)]
            discriminator = None
            continue
        last = i == len(location) - 1
        if not (_has(data, step) or (last and detail["type"] == "missing")):
            continue
        path.append(step)
        data = data[step] if _has(data, step) else None
        owner = choices[0] if choices else None
        fields = [c.model_fields[str(step)] for c in choices if str(step) in c.model_fields]
        if fields:
            choices = list(models_in(fields[0].annotation))
            discriminator = discriminator_of(fields[0])
    return tuple(path), owner


def _has(data: Any, step: str | int) -> bool:
    if isinstance(data, Mapping):
        return step in data
    return (
        isinstance(data, Sequence)
        and not isinstance(data, str)
        and isinstance(step, int)
        and step < len(data)
    )
