"""The paper's Tables 1 and 2 with our figures beside the published ones, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from langgraph_truce.benchmarks.protocol import mean_and_deviation

from .experiment import MIPRO, ORIGINAL
from .figures import Arm, Figure, arm, shares
from .published import MODELS, SHIFTS, TOPOLOGIES, table1, table2

Figures = Sequence[Figure]
NAMES = {
    ORIGINAL: "original",
    MIPRO: "MIPROv2",
    "roles": "role-only",
    "aggregators": "aggregator-only",
    "both": "both",
    "truce": "TRUCE",
}
OF_COLUMN = {"baseline": ORIGINAL, "optimized": MIPRO, "ours": "both"}
"""Column of the paper's Table 1 -> our arm."""
TITLES = {
    "aqua": "AQuA",
    "mmlu": "MMLU",
    "medmcqa": "MedMCQA",
    "gpqa": "GPQA",
    "dylan": "DyLAN",
    "debate": "Debate",
}
ARROWS = {
    "wrong_wrong": "wrong -> wrong",
    "right_wrong": "right -> wrong",
    "wrong_right": "wrong -> right",
    "right_right": "right -> right",
}
NONE = "-"


def arms_of(figures: Figures) -> dict[tuple[str, str], Arm]:
    """(topology, arm) -> all its seeds."""
    by: dict[tuple[str, str], list[Figure]] = {}
    for figure in figures:
        by.setdefault((figure.cell.topology, figure.cell.arm), []).append(figure)
    return {key: arm(found, by.get((key[0], ORIGINAL), [])) for key, found in by.items()}


def main_results(data: str, model: str, figures: Figures) -> str:
    """Table 1 for one data set: three published models, and ours below them."""
    keys = [(top, column) for top in TOPOLOGIES for column in OF_COLUMN]
    head = ["", "model", *(f"{TITLES[top]} {column}" for top, column in keys)]
    rows = []
    for name in MODELS:
        printed = [table1()[data, name, top, column] for top, column in keys]
        rows.append(["published", name, *(cell(p.mean, p.delta, p.std) for p in printed)])
    ours = arms_of(figures)
    rows.append(["here", model, *(_here(ours, top, column) for top, column in keys)])
    return f"Table 1, {TITLES[data]}: accuracy in %, change against the baseline, standard deviation over seeds\n\n{grid(head, rows)}"


def all_arms(figures: Figures, missing: Mapping[tuple[str, str], str]) -> str:
    """Every arm, with its answers by kind and the paired test of every seed."""
    head = [
        "topology",
        "arm",
        "seeds",
        "accuracy",
        "right",
        "wrong",
        "invalid",
        "failed",
        "left out",
        "edits",
        "paired test",
    ]
    rows = []
    for (topology, name), found in arms_of(figures).items():
        a = found.answers
        counts = [str(n) for n in (a.right, a.wrong, a.invalid, a.failed, a.excluded)]
        kept = str(sum(f.kept for f in found.figures))
        tests = "; ".join(map(_test, found.figures)) if name != ORIGINAL else NONE
        rows.append(
            [TITLES[topology], NAMES[name], str(found.accuracy.n), of_arm(found), *counts, kept, tests]
        )
    rows += [
        [TITLES[topology], NAMES.get(name, name), "0", f"not measured: {why}", *[NONE] * (len(head) - 4)]
        for (topology, name), why in missing.items()
    ]
    return (
        "All arms: invalid (no option could be read) and failed answers count as wrong; left out: the infrastructure failed\n\n"
        f"{grid(head, rows)}"
    )


def prediction_shifts(figures: Figures) -> str:
    """Table 2: shifts of single answers in %, over all seeds; the paper says neither data set, model nor topology of its own."""
    found = arms_of(figures)
    here = [top for top in TOPOLOGIES if any(t == top for t, _ in found)]
    columns = [("optimized", "MIPROv2"), ("ours", "ours")]
    head = [
        "shift",
        *(f"{name} {which}" for _, name in columns for which in ("published", *map(TITLES.get, here))),
    ]
    measured = {key: shares(a.figures) for key, a in found.items()}
    rows = []
    for shift in SHIFTS:
        row = [ARROWS[shift]]
        for column, _ in columns:
            row.append(_share(table2()[column][shift]))
            row += [_share(measured.get((top, OF_COLUMN[column]), {}).get(shift, math.nan)) for top in here]
        rows.append(row)
    return f"Table 2: prediction shifts in % of the test questions, rules as they came -> rules at the end\n\n{grid(head, rows)}"


def of_arm(found: Arm) -> str:
    """As `cell`, from measured shares."""
    return cell(100 * found.accuracy.mean, 100 * found.delta, 100 * found.accuracy.deviation)


def cell(mean: float, delta: float, std: float) -> str:
    """`61.75 ↑7.63 ±3.30`; a baseline has no change, one seed no deviation."""
    change = "" if math.isnan(delta) else f" {'↓' if round(delta, 2) < 0 else '↑'}{abs(delta):.2f}"
    return f"{mean:.2f}{change}" + ("" if math.isnan(std) else f" ±{std:.2f}")


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * w for w in widths], *rows]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _here(found: Mapping[tuple[str, str], Arm], topology: str, column: str) -> str:
    """Our cell of Table 1; where the original rules have no runs of their own, as another arm measured them."""
    own = found.get((topology, OF_COLUMN[column]))
    if own:
        return of_arm(own)
    other = found.get((topology, "both")) or found.get((topology, MIPRO))
    if column != "baseline" or other is None:
        return NONE
    spread = mean_and_deviation(f.before.accuracy for f in other.figures)
    return cell(100 * spread.mean, math.nan, 100 * spread.deviation)


def _share(percent: float) -> str:
    return NONE if math.isnan(percent) else f"{percent:.2f}"


def _test(figure: Figure) -> str:
    """`seed 0: +2.00 (-1.30 to 5.30), p = 0.25`."""
    d = figure.difference
    if not d.n:
        return f"seed {figure.cell.seed}: not measured"
    against = f" against {figure.began_with}" if figure.began_with else ""
    interval = f"{100 * d.low:.1f} to {100 * d.high:.1f}"
    return f"seed {figure.cell.seed}: {100 * d.estimate:+.2f} ({interval}), p = {d.p_value:.2g}{against}"
