"""The README's file map names every part of the tree, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "langgraph_truce"
# the seats of the ready parts inside the package; the map lists the parts themselves
SEATS = {"graphs", "evaluators", "__init__.py", "_catalog.py", "py.typed", "__pycache__"}


def mapped() -> set[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"## File map\n+```\n(.*?)```", text, re.DOTALL)
    assert block, "README.md has no file map"
    return {
        name
        for line in block[1].splitlines()
        for name in re.findall(r"(?<![\w/])([\w.]+(?:/|\.py))", line[:90])
    }


def test_every_part_of_the_library_is_on_the_map() -> None:
    there = {p.name + ("/" if p.is_dir() else "") for p in HOUSE.iterdir() if p.name not in SEATS}

    assert there - mapped() == set()


def test_nothing_on_the_map_is_missing() -> None:
    places = [ROOT, HOUSE]

    assert [n for n in mapped() if not any((p / n).exists() for p in places)] == []
