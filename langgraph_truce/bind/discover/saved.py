"""Discovered prompts beside their rule files, so that a folder of rules fits the bare graph again."""

from __future__ import annotations

import json
from pathlib import Path

from langgraph_truce.bind.found import Prompts
from langgraph_truce.errors import RuleFileError, UserMistake

FILE = ".prompts.json"
"""In the folder of the rule files; `read_rules` leaves hidden files out."""
LARGEST = 16 << 20
"""Bytes it may have."""


def write_prompts(prompts: Prompts, folder: Path | str) -> Path:
    """Write the prompts into `folder`, which is made where it is missing; `read_prompts` gives them back equal."""
    file = Path(folder) / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{FILE}.draft")
    draft.unlink(missing_ok=True)  # a link that somebody laid there is not followed
    with draft.open("x", encoding="utf-8") as fresh:
        fresh.write(json.dumps(prompts.to_json(), indent=2, ensure_ascii=True) + "\n")
    return draft.replace(file)


def read_prompts(folder: Path | str) -> Prompts | None:
    """The prompts in `folder`; None where it has none (its graph's nodes read their rules themselves).

    Raises:
        RuleFileError: the file is broken.
    """
    file = Path(folder) / FILE
    if not file.is_file():
        return None
    try:
        return Prompts.from_json(json.loads(_bounded(file)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UserMistake) as e:
        raise RuleFileError(
            f"{file}: no discovered prompts: {type(e).__name__}: {e}; write it again with: langgraph-truce rules discover"
        ) from e


def _bounded(file: Path) -> bytes:
    with file.open("rb") as kept:
        data = kept.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"more than {LARGEST >> 20} MiB")
    return data
