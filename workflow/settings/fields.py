"""Look into settings models: which models a field may hold, and under which names."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_DEEPEST = 6


def all_names(model: type[BaseModel], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield dotted path and name of every setting below ``model``, those of all kinds included."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        yield path, name
        if depth < _DEEPEST:
            for inner in models_in(field.annotation):
                yield from all_names(inner, f"{path}.", depth + 1)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield every settings model inside an annotation, through unions, lists and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    if get_origin(annotation) is Annotated:
        yield from models_in(get_args(annotation)[0])
        return
    if get_origin(annotation) not in {None, Literal}:
        for part in get_args(annotation):
            yield from models_in(part)


def discriminator_of(field: FieldInfo) -> str | None:
    """Return the setting that chooses between the models of a field, such as ``kind``; else ``None``."""
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


def tags_of(model: type[BaseModel], discriminator: str) -> tuple[Any, ...]:
    """Return the values of ``discriminator`` that choose ``model``."""
    field = model.model_fields.get(discriminator)
    return get_args(field.annotation) if field else ()
