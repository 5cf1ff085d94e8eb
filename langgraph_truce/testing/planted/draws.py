"""Every chance in a planted world: a hash of what it is about, so order, resume and forks cannot change it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


def draw(seed: int, *key: object) -> float:
    """A number in [0, 1), uniform over keys: blake2b of (seed, *key)."""
    digest = blake2b("\x1f".join(map(str, (seed, *key))).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest()) / 2**64


def pick(items: Sequence[T], seed: int, *key: object) -> T:
    """One of `items`, chosen by the key."""
    return items[int(draw(seed, *key) * len(items))]


def shuffled(items: Sequence[T], seed: int, *key: object) -> list[T]:
    """`items` in an order given by the key."""
    return [items[i] for i in sorted(range(len(items)), key=lambda i: (draw(seed, *key, i), i))]
