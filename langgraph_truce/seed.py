"""Seeded draws: the same key gives the same draws, in any order of asking and on every machine."""

from __future__ import annotations

import hashlib
import random


def seeded(seed: int, *key: object) -> random.Random:
    """A generator of its own for `(seed, *key)`; the key's parts are told apart by their `repr`."""
    text = repr((seed, *key))
    return random.Random(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()))
