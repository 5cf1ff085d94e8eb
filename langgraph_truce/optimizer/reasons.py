"""`why`: why a rule was added or changed, who asked, what it did, what it cost, who approved, and how to undo it."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langgraph_truce.errors import NOT_JSON
from langgraph_truce.optimizer.history import Ledger, Line, ledger_of
from langgraph_truce.optimizer.ledger import REVERT, WAITING, is_applied, standing
from langgraph_truce.optimizer.place import Place, read_place
from langgraph_truce.optimizer.proposal import changed, guard_words, named, quotes
from langgraph_truce.optimizer.records import Records
from langgraph_truce.redact import Redactor
from langgraph_truce.report.visible import visible

COMMAND = "command.json"
"""In the run folder: the options of the command that began the run, to print a `revert` that can be given as it is."""
UNKNOWN = {"app": "APP", "validation": "VALIDATION", "evaluator": "EVALUATOR"}
DONE = {"ADD": "was added", "MODIFY": "was changed", "DELETE": "was taken out"}


@dataclass(frozen=True, slots=True)
class Why:
    """The story of one edit."""

    id: str
    lines: tuple[Line, ...]
    """Every line about it, oldest first; the last one tells how it stands."""
    quotes: tuple[Mapping[str, str], ...]
    """The steps it rests on, `{"step", "said"}`; the first ones are quoted."""
    undo: str
    """The command that takes it back; empty where it is not applied."""
    waits: bool = False
    """True where it passed the gate and a person has not answered."""

    @property
    def decision(self) -> str:
        """How it stands."""
        return WAITING if self.waits else str(self.lines[-1]["decision"])

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "id": self.id,
            "decision": self.decision,
            "lines": [dict(line) for line in self.lines],
            "quotes": [dict(q) for q in self.quotes],
            "undo": self.undo,
        }

    def text(self) -> str:
        """All of it for people."""
        first, last = self.lines[0], self.lines[-1]
        gates = [line for line in self.lines if line["p_value"] is not None and line["kind"] != REVERT]
        tested = gates[-1] if gates else None
        out = [
            f"{self.id}: {first['op']} {last['agent']}/{last['rule_id'] or '(new)'}, {_stands(last, waits=self.waits)}",
            *("  " + line for line in changed(first["op"], first["before"], first["after"]).split("\n")),
            f"Why        {first['reason'] or 'no reason was given'}",
            f"Asked for  by the tasks {named(first['tasks'])}{_support(first)}",
        ]
        quoted = [q for q in self.quotes if q["said"]]
        out += [f"           {q['step']} said: {q['said']}" for q in quoted]
        if rest := len(self.quotes) - len(quoted):
            out.append(f"           and {rest} more steps")
        out += _tested(tested) if tested else ["Tested     it never was"]
        out += ["Decided"] + [f"           {_decided(line)}" for line in self.lines]
        out += [f"Cost       of iteration {last['iteration']}: {cost_words(last['cost'])}"]
        out += [f"Undo       {self.undo}"] if self.undo else []
        return visible("\n".join(out)) + "\n"


def why(run: Place | Path | str, what: str) -> tuple[Why, ...]:
    """The story of every edit that `what` names (see `Ledger.find`), oldest first.

    Raises:
        UnknownNameError: it names none.
        UserMistake: a rule id that several agents have.
        RunError: there is no run.
    """
    return asyncio.run(awhy(run, what))


async def awhy(run: Place | Path | str, what: str) -> tuple[Why, ...]:
    """As `why`, for async code."""
    async with read_place(run) as records:
        ledger = await ledger_of(records, run)
        command = read_command(run)
        return tuple([await _story(records, ledger, name, command) for name in ledger.find(what)])


def write_command(run: Place | Path | str, options: Mapping[str, str]) -> None:
    """Note the options of the command that made a run, by their long names, for `undo_command`; secrets are masked."""
    file = Place.of(run).folder / COMMAND
    file.write_text(json.dumps(Redactor().json(dict(options)), indent=2) + "\n", encoding="utf-8")


def read_command(run: Place | Path | str) -> dict[str, str]:
    """Options of the command that began a run; empty where no command did, or its note is not readable."""
    file = Place.of(run).folder / COMMAND
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, *NOT_JSON):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


async def _story(records: Records, ledger: Ledger, name: str, command: Mapping[str, str]) -> Why:
    lines = tuple(line for line in ledger.lines if line["id"] == name)
    applied = standing(ledger.lines)[name]
    undo = undo_command(ledger.place, name, command) if is_applied(applied) else ""
    waits = ledger.waiting is not None and name in {e["id"] for e in ledger.waiting["edits"]}
    return Why(name, lines, tuple(await quotes(records, lines[0]["evidence"])), undo, waits)


def undo_command(place: str, edit_id: str, command: Mapping[str, str]) -> str:
    """The command that takes an edit back; capitals stand for what the run does not know."""
    given = {**UNKNOWN, **command}
    words = ["langgraph-truce", "revert", edit_id, place, given.pop("app")]
    for name, value in given.items():
        words += [f"--{name}", value]
    return shlex.join([*words, "--write", "rules-reverted"])


def cost_words(cost: Mapping[str, Any]) -> str:
    """What was paid, in words; the edits of an iteration share it."""
    if not cost:
        return "unknown"
    usd = cost.get("usd")
    money = f", {usd:.4f} USD" if usd is not None else ", price unknown"
    return f"{cost.get('calls', 0):,.0f} calls, {cost.get('tokens', 0):,.0f} tokens{money}, for all its edits together"


def figures(line: Line) -> str:
    """Estimate, interval and p-value of a line, in words; empty where nothing was measured."""
    if line["p_value"] is None:
        return ""
    spent = f" of {line['alpha']:.3g}" if line.get("alpha") is not None else ""
    return f"{line['estimate']:+.3f} ({line['low']:+.3f} to {line['high']:+.3f}), p = {line['p_value']:.3g}{spent}"


def _stands(line: Line, *, waits: bool) -> str:
    if waits:
        return "passed the gate, waits for an answer"
    if is_applied(line):
        return DONE[line["op"]]
    return f"not applied: {line['decision']}"


def _support(line: Line) -> str:
    return f", {line['support']:.0%} of those sampled" if line["support"] else ""


def _tested(line: Line) -> list[str]:
    measured = line["set"] or [line["id"]]
    together = "" if measured == [line["id"]] else f", measured together: {', '.join(measured)}"
    unit = "" if line.get("objective", "score") == "score" else f" in {line['objective']}"
    return [
        f"Tested     {figures(line)}{unit}{together}",
        f"           fixed: {named(line['fixed'], 20)}",
        f"           broken: {named(line['broken'], 20)}",
        *(f"           {guard_words(g)}" for g in line.get("guards", ())),
    ]


def _decided(line: Line) -> str:
    return f"{line['at']}  {line['decision']} by {line['approver']}: {line['words']}"


def log_words(lines: Sequence[Line]) -> list[str]:
    """One or two rows per line of the ledger, newest last."""
    out: list[str] = []
    for line in lines:
        rule = f"{line['agent']}/{line['rule_id'] or '(new)'}"
        head = f"{line['at']}  iteration {line['iteration']}  {line['id'] or '-'}  {line['op']} {rule}"
        measured = f", {len(line['fixed'])} fixed, {len(line['broken'])} broken" if figures(line) else ""
        out.append(f"{head}  {line['decision']} by {line['approver']}")
        out.append(f"    {first_line(line['after'] or line['before'])}")
        tail = f"{figures(line)}{measured}" if line["kind"] == "edit" and figures(line) else line["words"]
        out.append(f"    {tail}")
    return [visible(words) for words in out]


def first_line(text: str, most: int = 100) -> str:
    """The first line of a text, cut."""
    line = text.strip().split("\n")[0]
    return line if len(line) <= most else f"{line[: most - 3]}..."
