"""YAML as people expect it: YAML 1.2 scalars, no duplicate keys, and the line every key stands on.

PyYAML follows YAML 1.1, in which ``1e-3`` is a string, ``No`` (nobelium) is false and ``1:30`` is 90. Here
only ``true``, ``false``, ``null`` and plain numbers are special (the core schema of YAML 1.2).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from workflow.settings.errors import Path as KeyPath
from workflow.settings.errors import SettingsError

_SCALARS = (
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), [*"~nN", ""]),
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789")),
    (
        "float",
        re.compile(
            r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        list("-+.0123456789"),
    ),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own attribute)


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own attribute)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _integer(_loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(str(node.value))  # PyYAML reads 010 as 8


for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _pattern, _first)
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _pattern, _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def parse(text: str, name: str) -> tuple[Any, dict[KeyPath, int]]:
    """Return the document in ``text`` and the line, from 1, of every key and list item.

    Parameters
    ----------
    name
        How messages call the text, such as the file's name.

    Raises
    ------
    SettingsError
        If it is not YAML, or a key is given twice.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        lines: dict[KeyPath, int] = {}
        if node is None:
            return None, lines
        _walk(node, (), lines, name)
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise SettingsError(f"{name}{line}: not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    finally:
        loader.dispose()


def read(path: Path) -> tuple[Any, dict[KeyPath, int]]:
    """Return what :func:`parse` returns for the file at ``path``.

    Raises
    ------
    SettingsError
        If the file is missing or unreadable, or :func:`parse` refuses it.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not text in UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None


def dump(data: Any) -> str:
    """Return ``data`` (mappings, lists, scalars) as YAML that :func:`parse` reads back unchanged."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=100)


def _walk(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], name: str) -> None:
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            lines[(*path, i)] = item.start_mark.line + 1
            _walk(item, (*path, i), lines, name)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise SettingsError(f"{name}:{line}: a key must be a plain word")
            inner = (*path, str(key.value))
            if inner in lines:
                where = ".".join(map(str, inner))
                raise SettingsError(f"{name}:{line}: {where}: given twice, first in line {lines[inner]}")
            lines[inner] = line
            _walk(value, inner, lines, name)
