"""The report as one HTML page: opens from disk, asks the network for nothing, runs no script.

Everything a run says is data: Jinja escapes it, `visible` shows what hides in it, and a Content-Security-Policy that
allows nothing but the page's own style sheet stands behind both.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from langgraph_truce.errors import RunError
from langgraph_truce.report.chart import chart
from langgraph_truce.report.figures import p_value, points, shift_words, verdict
from langgraph_truce.report.story import Cell, Story
from langgraph_truce.report.visible import visible
from langgraph_truce.rules.worded import worded
from langgraph_truce.trajectory.transcript import cut

FILE = "report.html"
"""Name of the page in a run folder."""
TEXT = 8_000
"""Characters of a text that is shown; the cut says how much is missing."""
EDITS = 200
"""Edits that are shown in full; the rest stands in the table alone."""
NAMED = 10
"""Tasks that are named in a sentence."""
_SHADES = (0.05, 0.35, 0.7)
"""From this size on a credit takes the next stronger shade."""

T = TypeVar("T")


def render(story: Story) -> str:
    """The page."""
    css = _environment().get_template("report.css").render()
    digest = base64.b64encode(hashlib.sha256(css.encode("utf-8")).digest()).decode("ascii")
    return (
        _environment()
        .get_template("report.html")
        .render(
            story=story,
            css=Markup(css),
            policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
            verdict=verdict(story),
            chart=chart(story),
            rounds=_rounds(story.credit),
            roles=_roles(story.credit),
            turns={t.iteration: t for t in story.turns},
            places={t.task: i for i, t in enumerate(story.tasks)},
            shown_above={i for rule in story.rules for i in rule.edits},
            most_edits=EDITS,
        )
    )


def write(story: Story, path: Path) -> Path:
    """Write the page to `path`; it is replaced as a whole or not at all.

    Raises:
        RunError: the file cannot be written.
    """
    fresh = path.with_name(f"{path.name}.tmp")
    try:
        fresh.write_text(render(story), encoding="utf-8", newline="\n")
        fresh.replace(path)
    except OSError as e:
        raise RunError(f"{path}: the report cannot be written: {e}; give another file with --html") from e
    return path


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("langgraph_truce.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= {
        "score": lambda x: "not known" if x is None else f"{x:.3f}",
        "points": lambda x: "not known" if x is None else points(x),
        "p": lambda x: "not known" if x is None else p_value(x),
        "exact": lambda x: "not known" if x is None else f"p = {x:.2g}",
        "count": lambda x: "not known" if x is None else f"{x:,}",
        "percent": lambda x: "not known" if x is None else f"{x:.0%}",
        "short": lambda x: "not known" if x is None else f"{x:.3g}",
        "usd": lambda x: "not known" if x is None else f"${x:,.4f}" if x < 1 else f"${x:,.2f}",
        "raw": lambda x: "" if x is None else repr(x),
        "worded": lambda pair: worded(*pair),
        "cut": lambda text: cut(text, TEXT),
        "shell": shlex.join,
        "shade": _shade,
        "first": _first,
        "flat": _flat,
        "shift_words": shift_words,
    }
    return environment


def _shown(value: Any) -> Any:
    """What every `{{ expression }}` goes through before it is escaped."""
    return visible(value) if type(value) is str else value


def _rounds(credit: Sequence[Cell]) -> list[int | None]:
    """Columns of the heat map: the rounds, and None where there is credit of no one round."""
    found = {c.round for c in credit}
    return [*sorted(r for r in found if r is not None), *([None] if None in found else [])]


def _roles(credit: Sequence[Cell]) -> list[tuple[str, dict[int | None, Cell], float, int]]:
    """Rows of the heat map: role, its cells by round, mean and number over all; worst first."""
    rows = []
    for role in dict.fromkeys(c.role for c in credit):
        own = [c for c in credit if c.role == role]
        n = sum(c.n for c in own)
        rows.append((role, {c.round: c for c in own}, sum(c.mean * c.n for c in own) / n, n))
    return sorted(rows, key=lambda row: (row[2], row[0]))


def _shade(mean: float) -> str:
    """The class of a credit's cell: `bad3` to `good3`, `even` in between."""
    strength = sum(abs(mean) >= limit for limit in _SHADES)
    return f"{'bad' if mean < 0 else 'good'}{strength}" if strength else "even"


def _first(items: Sequence[T], most: int = NAMED) -> tuple[Sequence[T], int]:
    """The first `most` items, and how many are left out."""
    return items[:most], max(0, len(items) - most)


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted names and JSON values."""
    if isinstance(value, Mapping) and value:
        return [row for k, v in value.items() for row in _flat(v, f"{name}.{k}" if name else str(k))]
    return [(name, value if isinstance(value, str) else json.dumps(value, default=str))]
