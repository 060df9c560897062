"""Messages to and from the process of a foreign calculator: plain values and arrays, never pickles."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 8


@dataclass(frozen=True)
class Message:
    """Plain values (what JSON can express) and arrays by name."""

    values: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


def pack(message: Message) -> bytes:
    """Return the message as bytes: its length (8 bytes, little-endian), then an npz archive."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, values_json=np.array(json.dumps(message.values)), **message.arrays)
    body = buffer.getvalue()
    return len(body).to_bytes(HEADER_BYTES, "little") + body


def unpack(read: Callable[[int], bytes]) -> Message | None:
    """Return the next message, given a function that reads so many bytes, or ``None`` at the end.

    Raises
    ------
    EOFError
        If the end comes within a message.
    """
    header = read(HEADER_BYTES)
    if not header:
        return None
    length = int.from_bytes(header, "little")
    body = read(length)
    if len(header) < HEADER_BYTES or len(body) < length:
        raise EOFError("the other side ended within a message")
    with np.load(io.BytesIO(body), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "values_json"}
        return Message(values=json.loads(str(archive["values_json"])), arrays=arrays)
