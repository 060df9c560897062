"""Turn pydantic's complaints into one line each: where, what was found, what was expected."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

Path = tuple[str | int, ...]


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
    problems: dict[tuple[str, str], list[str]] = {}
    for detail in error.errors(include_url=False):
        path, owner = _locate(model, data, detail["loc"])
        name = dotted(path)
        found, expected = _found_and_expected(dict(detail), path, owner, model)
        head = f"{place(path)}: {name}: {found}" if name else f"{place(path)}: {found}"
        problems.setdefault((head, ""), []).append(expected)
    lines = [head + _joined(expected) for (head, _), expected in problems.items()]
    return SettingsError("\n".join(lines))


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
        [tag for choice in _models(field.annotation) for tag in _tags(choice, discriminator)] if field else []
    )
    return ", ".join(repr(tag) for tag in tags) or "its kinds"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _lowered(message: str) -> str:
    text = message.removeprefix("Input should be ").removeprefix("Value should be ")
    return text[:1].lower() + text[1:]


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
    everywhere = dict(_all_names(root))
    if dotted(tuple(step for step in path if isinstance(step, str))) in everywhere:
        return f" of this kind; expected one of {', '.join(siblings)}"
    nearest = difflib.get_close_matches(name, set(everywhere.values()), n=1, cutoff=0.8)
    far = [elsewhere for elsewhere, its_name in everywhere.items() if its_name in nearest]
    if far:
        return f"; did you mean {far[0]}?"
    close = difflib.get_close_matches(name, siblings, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; expected one of {', '.join(siblings)}"


def _all_names(model: type[BaseModel], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        yield path, name
        if depth < 6:
            for inner in _models(field.annotation):
                yield from _all_names(inner, f"{path}.", depth + 1)


# -- from pydantic's location to the user's key --------------------------------------------------------------


def _locate(
    model: type[BaseModel], data: Any, location: Sequence[str | int]
) -> tuple[Path, type[BaseModel] | None]:
    """Return the path as the user wrote it, and the settings that own its last key.

    Pydantic puts the tag of a discriminated union, and the name of each tried type of any other union, into
    the location; the user wrote neither.
    """
    path: list[str | int] = []
    owner: type[BaseModel] | None = model
    choices: list[type[BaseModel]] = [model]
    discriminator: str | None = None
    for i, step in enumerate(location):
        if discriminator and step in {tag for c in choices for tag in _tags(c, discriminator)}:
            choices = [c for c in choices if step in _tags(c, discriminator)]
            discriminator = None
            continue
        last = i == len(location) - 1
        if not (_has(data, step) or (last and isinstance(data, Mapping))):
            continue
        path.append(step)
        data = data[step] if _has(data, step) else None
        owner = choices[0] if choices else None
        fields = [c.model_fields[str(step)] for c in choices if str(step) in c.model_fields]
        if fields:
            choices = list(_models(fields[0].annotation))
            discriminator = _discriminator(fields[0])
        elif isinstance(step, str) and choices and not last:
            # the key of a mapping of settings: its models stay the choices
            continue
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


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every settings model inside an annotation, through unions, lists and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    if get_origin(annotation) is Annotated:
        yield from _models(get_args(annotation)[0])
        return
    if get_origin(annotation) not in {None, Literal}:
        for part in get_args(annotation):
            yield from _models(part)


def _discriminator(field: FieldInfo) -> str | None:
    if isinstance(field.discriminator, str):
        return field.discriminator
    return next(
        (found for part in _parts(field.annotation) if (found := _annotated_discriminator(part))), None
    )


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    if get_origin(annotation) in {Union, types.UnionType, list, tuple, dict, Annotated}:
        for part in get_args(annotation):
            yield from _parts(part)


def _annotated_discriminator(annotation: Any) -> str | None:
    if get_origin(annotation) is not Annotated:
        return None
    for extra in get_args(annotation)[1:]:
        if isinstance(extra, FieldInfo) and isinstance(extra.discriminator, str):
            return extra.discriminator
    return None


def _tags(model: type[BaseModel], discriminator: str) -> tuple[Any, ...]:
    field = model.model_fields.get(discriminator)
    return get_args(field.annotation) if field else ()
