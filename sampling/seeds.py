"""Seeds that can be written down."""

from __future__ import annotations

import numpy as np


def describe_seed(seed: np.random.SeedSequence) -> str:
    """Return entropy and spawn key as text, such as ``20210224:1.17.0``: enough to make the seed again."""
    entropy = seed.entropy
    words = entropy if isinstance(entropy, int) or entropy is None else ",".join(str(e) for e in entropy)
    return f"{words}:{'.'.join(str(k) for k in seed.spawn_key)}"


def child(seed: np.random.SeedSequence, *key: int) -> np.random.SeedSequence:
    """Return the descendant of ``seed`` with this key; unlike ``spawn``, it keeps no count."""
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, *key))
