"""The figures that the paper printed, from `published.toml`."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "published.toml"
DATA = ("medmcqa", "gpqa", "aqua", "mmlu")
MODELS = ("LLaMA3-8B", "Qwen2.5-7B", "Gemma-7B")
TOPOLOGIES = ("dylan", "debate")
COLUMNS = ("baseline", "optimized", "ours")
"""The rules as they came, MIPROv2, and the paper's method."""
SHIFTS = ("wrong_wrong", "right_wrong", "wrong_right", "right_right")


@dataclass(frozen=True, slots=True)
class Printed:
    """One cell of Table 1, in percent."""

    mean: float
    std: float
    delta: float = math.nan
    """Against the baseline, as it is printed; NaN for the baseline itself."""


@lru_cache(maxsize=1)
def table1() -> dict[tuple[str, str, str, str], Printed]:
    """(data set, model, topology, column) -> what is printed there."""
    return {
        (row["data"], row["model"], row["topology"], column): Printed(**row[column])
        for row in _file()["table1"]
        for column in COLUMNS
    }


@lru_cache(maxsize=1)
def table2() -> dict[str, dict[str, float]]:
    """Column (`optimized` or `ours`) -> shift -> percent."""
    return {column: dict(shares) for column, shares in _file()["table2"].items()}


def _file() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))
