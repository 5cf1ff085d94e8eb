"""The parser's words, from `words.toml`."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources


@cache
def _lists() -> dict[str, list[str]]:
    return tomllib.loads(resources.files(__package__).joinpath("words.toml").read_text(encoding="utf-8"))


def one_of(*names: str) -> str:
    """A regular expression for any word of the lists called `names`, as a group that captures nothing."""
    words = [word.replace("'", "['\u2019]") for name in names for word in _lists()[name]]
    return f"(?:{'|'.join(words)})"
