"""The embedded model's replies, held to a few words in the form that is asked for: it would leave the form out by itself."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from langchain_core.runnables import Runnable

_WORDS = r"[^()\[\]\n]{1,80}"


def answer(letters: str, rated: int = 0) -> str:
    """Some words and one of the letters; with `rated` > 0 as many ratings in the last line."""
    ratings = rf' "\n" {_row(rated)}' if rated else ""
    return f'root ::= {_WORDS} "(" [{letters}] ")"{ratings}'


def ratings(n: int) -> str:
    """As many ratings as n says."""
    return f"root ::= {_row(n)}"


def picks(n: int) -> str:
    """Two numbers from 1 to n, at most 9."""
    return f'root ::= "[" [1-{min(n, 9)}] ", " [1-{min(n, 9)}] "]"'


@lru_cache(maxsize=32)
def embedded(form: str) -> Runnable[Any, Any]:
    """The embedded model, started at the first call, with replies of the form."""
    from langgraph_truce import local_model

    return local_model(max_tokens=96, slots=8).bind(extra_body={"grammar": form})


def _row(n: int) -> str:
    rest = f' (", " [1-5]){{{n - 1}}}' if n > 1 else ""
    return f'"[[" [1-5]{rest} "]]"'
