"""The report of a run for a terminal: the facts of the page in short."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from langgraph_truce.report.figures import p_value, points, verdict
from langgraph_truce.report.rounds import RoundStory
from langgraph_truce.report.story import Cell, Cost, EditStory, Excluded, Mean, Noise, Shift, Story, Turn
from langgraph_truce.report.visible import visible
from langgraph_truce.trajectory.transcript import cut

WIDTH = 110
"""Columns of a report that is not shown on a terminal."""

SHOWN = 3
"""Tasks that are named; the rest is counted."""
EDITS = 60
"""Edits that are shown; the rest is counted."""
SAID = 200
"""Characters of a quoted step."""
TEXT = 2_000
"""Characters of a rule; a cut says how much is missing."""

STYLE = {
    "accept": "green",
    "reject": "red",
    "error": "red",
    "declined": "red",
    "inconclusive": "yellow",
    "deferred": "yellow",
    "waiting": "yellow",
    "pruned": "dim",
    "reverted": "dim",
}
"""Colour of a verdict; the word says the same."""


def render(story: Story, width: int = WIDTH) -> str:
    """The report as plain text, at most `width` columns wide."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    show(story, console)
    assert isinstance(console.file, io.StringIO)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def show(story: Story, console: Console) -> None:
    """Print the report, in colour where the console has it."""
    if story.state != "finished":
        console.print(_text(f"{story.state.upper()}: {story.why}", "bold yellow"))
    console.print(_text("".join(part.text for part in verdict(story))))
    console.print()
    parts: tuple[tuple[str, RenderableType], ...] = (
        ("Sealed test", scores(story)),
        ("Iterations", iterations(story.turns)),
        ("Credit by role and round", credits_by_role(story.credit)),
        *((("Rounds, failures and answers", rounds(story.rounds)),) if story.rounds else ()),
        ("Edits", edits(story)),
        ("Prediction shifts", shifts(story)),
        ("Model calls", costs(story.costs)),
        ("Noise floor", noise(story.noise)),
        ("Left out", left_out(story.excluded)),
    )
    for title, part in parts:
        console.print(Text(title, style="bold"))
        console.print(Padding(part, (0, 0, 1, 2)))
    for role, calls in sorted(story.missed.items()):
        where = f"from {role}" if role else "from raw threads"
        console.print(
            _text(
                f"{calls} model calls {where} have no prompt that discovery found: they went out unchanged."
            )
        )
    for why, number in sorted(story.refused.items(), key=lambda item: (-item[1], item[0])):
        plural = "" if number == 1 else "s"
        console.print(_text(f"{number} contribution{plural} could not be replayed: {why.rstrip('.')}."))
    console.print(_text(f"Run folder: {story.run}"), soft_wrap=True)


def scores(story: Story) -> RenderableType:
    """Baseline and final with intervals, and the paired difference."""
    d = story.difference
    if d is None:
        return Text("not measured")
    table = _table("", "score", "interval", "tasks")
    for name, score in (("rules as they came", story.baseline), (story.last, story.final)):
        if score is not None:
            table.add_row(name, *_mean(score), str(score.n))
    table.add_row("difference", points(d.estimate), f"{points(d.low)} to {points(d.high)}", str(d.n))
    fixed = f"; {story.shift.rose} tasks fixed, {story.shift.fell} broken" if story.shift else ""
    return _stack(table, Text(f"{p_value(d.p_value)} (paired, two-sided){fixed}"))


def iterations(turns: Sequence[Turn]) -> RenderableType:
    """One line per iteration: score on train, on validation, and the gate's sentence."""
    if not turns:
        return Text("none was evaluated yet")
    table = _table("", "train", "validation", "decision", "why")
    for t in turns:
        moved = f"{t.baseline.mean:.3f} -> {t.candidate.mean:.3f}" if t.baseline and t.candidate else ""
        train = f"{t.train.mean:.3f} {t.source}".rstrip() if t.train else ""
        why = t.words
        if t.needed is not None:
            why += f" (about {t.needed:,} validation tasks would decide at the observed effect)"
        if failed := [str(g.get("key")) for g in t.guards if not g.get("passed")]:
            why += f" (guards not held: {', '.join(failed)})"
        table.add_row(
            f"{t.iteration} {t.block}".rstrip(),
            train,
            moved,
            _text(_by(t), STYLE.get(t.decision, "")),
            _text(why),
        )
    return table


def credits_by_role(credit: Sequence[Cell]) -> RenderableType:
    """Mean credit and number of credits of each role, over all and by round; worst first."""
    if not credit:
        return Text("none was assigned")
    rounds = sorted({c.round for c in credit if c.round is not None})
    bare = any(c.round is None for c in credit) and bool(rounds)
    table = _table("role", "mean credit", *(f"round {r}" for r in rounds), *(["no round"] if bare else []))
    roles = dict.fromkeys(c.role for c in credit)
    own = {role: [c for c in credit if c.role == role] for role in roles}
    means = {r: sum(c.mean * c.n for c in found) / sum(c.n for c in found) for r, found in own.items()}
    for role in sorted(roles, key=lambda r: (means[r], r)):
        cells = {c.round: f"{c.mean:+.2f} ({c.n})" for c in own[role]}
        whole = f"{means[role]:+.2f} ({sum(c.n for c in own[role])})"
        row = [cells.get(r, "") for r in (*rounds, *([None] if bare else []))]
        table.add_row(_text(role or "(whole round)"), whole, *row)
    return table


def rounds(told: RoundStory) -> RenderableType:
    """Where runs ended, patterns of failure by round, credit against answers, and the ablation where there is one."""
    parts: list[RenderableType] = []
    if told.rounds:
        table = _table("round", "ended", "diagnosis", "aggregate", "informative failures")
        for r in told.rounds:
            ended = f"{r.runs} ({r.share:.0%})"
            table.add_row(
                str(r.round), ended, _or(r.score, "{:.2f}"), _or(r.credit), f"{r.failures} of {r.aggregates}"
            )
        parts.append(table)
    if told.patterns:
        last = [r.round for r in told.rounds if r.runs]
        table = _table("pattern", "runs", "score", *(f"round {r}" for r in last))
        for p in told.patterns:
            by = (str(p.by_round.get(r, 0)) for r in last)
            table.add_row(_text(p.pattern), f"{p.runs} ({p.share:.0%})", f"{p.score:.2f}", *by)
        parts.append(table)
    if told.agreement:
        table = _table("role", "credit if right", "if wrong", "told apart")
        for a in told.agreement:
            means = (f"{_or(m)} ({n})" for m, n in ((a.mean_right, a.right), (a.mean_wrong, a.wrong)))
            table.add_row(_text(a.role or "(all roles)"), *means, _or(a.auc))
        parts.append(table)
    if told.ablation:
        table = _table("alone", "tasks", "difference", "interval")
        for row in told.ablation:
            interval = f"{points(row.low)} to {points(row.high)}"
            table.add_row(_text(row.name), str(row.n), points(row.estimate), interval)
        parts += [table, Text("Each agent's accepted changes alone; after the fact, no error control.")]
    return _stack(*parts)


def _or(value: float | None, form: str = "{:.3f}") -> str:
    return "-" if value is None else form.format(value)


def edits(story: Story) -> RenderableType:
    """Each edit that was tried: verdict with its figures, text, reason, evidence, what happened later."""
    if not story.edits:
        return Text("none was tried")
    table = Table.grid(padding=(0, 2, 1, 0))
    for e in story.edits[:EDITS]:
        table.add_row(str(e.iteration), _edit(e))
    more = len(story.edits) - EDITS
    rest = [Text(f"and {more} more; the HTML report and the ledger have them")] if more > 0 else []
    figures = "The figures are of the joint set that was tested; p against what the iteration may spend."
    return _stack(table, *rest, Text(figures))


def _edit(e: EditStory) -> Text:
    block = Text.assemble(
        (visible(f"{e.op} {e.agent} {e.rule or '(new)'}"), "bold"),
        f" ({e.id})" if e.id else "",
        ": ",
        (visible(e.decision), STYLE.get(e.decision, "")),
    )
    if e.p_value is not None and e.estimate is not None:
        alpha = 1.0 if e.alpha is None else e.alpha
        block.append(f", {points(e.estimate)}, p {e.p_value:.3g} of {alpha:.3g}")
        block.append(f", {e.fixed} tasks fixed, {e.broken} broken")
    block.append("\n" + visible(cut(e.after or e.before, TEXT)))
    asked = [f"asked for by {e.support:.0%} of the tasks"] if e.support else []
    asked += [f"tasks {_some(e.tasks)}"] if e.tasks else []
    asked += [f"{e.cited} step{'' if e.cited == 1 else 's'} cited"] if e.cited else []
    later = [f"{s.kind}: {s.decision} by {s.approver or 'nobody'}. {s.words}" for s in e.history[1:]]
    wrong = [e.history[0].words] if e.history and e.decision == "error" else []
    said = [
        f"{q.step} of task {q.task}: {' '.join(cut(q.said, SAID).split())}" for q in e.quotes[:1] if q.found
    ]
    for line in (e.reason, "; ".join(asked), *said, *wrong, *later):
        block.append(f"\n{visible(cut(line, TEXT))}" if line else "", style="dim")
    return block


def _some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    there = list(dict.fromkeys(names))
    more = f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
    return ", ".join(there[:SHOWN]) + more


def shifts(story: Story) -> RenderableType:
    """How many tasks rose, fell and stayed, on validation by iteration and on the sealed test."""
    found: list[Shift] = [t.shift for t in story.turns if t.shift]
    found += [story.shift] if story.shift else []
    if not found:
        return Text("nothing was compared")
    table = _table("", "tasks", "wrong to right, or rose", "right to wrong, or fell", "stayed")
    for s in found:
        table.add_row(s.where, str(s.tasks), str(s.rose), str(s.fell), str(s.stayed))
    return table


def costs(rows: Sequence[Cost]) -> RenderableType:
    """Calls, tokens and dollars per purpose beside the plan, and how many replies the journal gave for nothing."""
    if not rows:
        return Text("not known yet")
    planned = any(c.planned for c in rows)
    priced = any(c.usd is not None for c in rows if c.calls)
    table = _table(
        "purpose",
        "calls",
        *(["planned"] if planned else []),
        "from the\njournal",
        "tokens\nin",
        "tokens\nout",
        *(["dollars"] if priced else []),
        "seconds",
    )
    for c in rows:
        low, high = c.planned.get("calls") or (0, 0)
        figures = [f"{c.calls:,}", *([f"{low:,} to {high:,}" if c.planned else ""] if planned else [])]
        figures += [f"{c.hits:,}", f"{c.input_tokens:,}", f"{c.output_tokens:,}"]
        figures += ["not known" if c.usd is None else f"{c.usd:,.4f}"] if priced else []
        table.add_row(
            _text("all" if c.purpose == "total" else c.purpose or "other"), *figures, f"{c.seconds:,.0f}"
        )
    lost = sum(c.unjournalled for c in rows if c.purpose != "total")
    return _stack(table, *([Text(f"{lost:,} paid calls could not be journalled")] if lost else []))


def noise(found: Noise) -> RenderableType:
    """How much the system differs from itself."""
    words = found.source
    if found.tasks and found.flips is not None:
        words += f" With equal rules {found.flips:.0%} of {found.tasks} tasks score differently."
    if found.tasks and found.floor is not None:
        words += f" A difference of up to {found.floor:.3f} is noise in 95 % of cases."
    needed = ", ".join(f"{gain} points: {tasks:,}" for gain, tasks in found.needed.items())
    return _text(f"{words} Tasks needed: {needed}." if needed else words)


def left_out(rows: Sequence[Excluded]) -> RenderableType:
    """Rollouts that do not count, where there are any."""
    some = [f"{x.where}, {x.arm}: {x.rollouts}" for x in rows if x.rollouts]
    return _text("; ".join(some) or "no rollout")


def _mean(m: Mean) -> tuple[str, str]:
    return f"{m.mean:.3f}", f"{m.low:.3f} to {m.high:.3f}"


def _by(t: Turn) -> str:
    """The decision, and whose it is where it is a person's."""
    return f"{t.decision} by {t.approver}" if t.approver not in {"", "gate"} else t.decision


def _text(words: str, style: str = "") -> Text:
    """Words from the run: no markup is read in them, and nothing in them can move the terminal."""
    return Text(visible(words), style=style)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        # the figures stay on one line where a sentence can give way; where none can, they wrap: cut, they would be wrong
        table.add_column(
            column,
            overflow="fold",
            no_wrap="why" in columns and column != "why",
            ratio=1 if column == "why" else None,
        )
    return table


def _stack(*parts: RenderableType) -> Table:
    grid = Table.grid()
    for part in parts:
        grid.add_row(part)
    return grid
