"""The proposal: what passed the gate and waits for a person, with its evidence, as JSON and in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langgraph_truce.optimizer.records import Records
from langgraph_truce.rules import Edit
from langgraph_truce.rules.diff import marked
from langgraph_truce.seams import Batch
from langgraph_truce.trajectory.transcript import cut, said

QUOTED = 3
"""Steps quoted per edit; the rest is named."""
CHARACTERS = 300
"""Of one quote."""
HOW = (
    'answer with {"edits": {ID: {"answer": "accept" | "reject" | "reword" | "defer", "text": NEW WORDING for reword, '
    '"comment": WHY}}, "by": YOUR NAME}, every edit once'
)


async def propose(
    records: Records, batch: Batch, verdict: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], at: str
) -> dict[str, Any]:
    """The proposal of one iteration.

    Args:
        records: Where the cited steps are quoted from.
        batch: The iteration, with its edits.
        verdict: The gate's `Verdict`, as JSON.
        lines: The ledger lines of the gate.
        at: When it was made.
    """
    kept = {e["id"] for e in verdict["edits"]}
    chosen = [line for line in lines if line["id"] in kept and line["kind"] == "edit"]
    return {
        "kind": "review",
        "iteration": batch.iteration,
        "asked_at": at,
        "words": verdict["words"],
        "objective": verdict.get("objective", "score"),
        "comparison": {**verdict["comparison"], "alpha": verdict["alpha"]},
        "guards": list(verdict.get("guards", [])),
        "cost": chosen[0]["cost"] if chosen else {},
        "edits": [await _edit(records, line) for line in chosen],
        "how": HOW,
        "problem": "",
    }


async def _edit(records: Records, line: Mapping[str, Any]) -> dict[str, Any]:
    names = ("id", "op", "agent", "before", "after", "reason", "support", "tasks")
    return {
        **{name: line[name] for name in names},
        "rule": line["rule_id"],
        "diff": changed(line["op"], line["before"], line["after"]),
        "evidence": await quotes(records, line["evidence"]),
    }


async def quotes(records: Records, evidence: Iterable[str]) -> list[dict[str, str]]:
    """The cited steps, `ROLLOUT/STEP`, with what stood there: `{"step", "said"}`; only the first ones are quoted."""
    out: list[dict[str, str]] = []
    for name in dict.fromkeys(evidence):
        words = await _quote(records, name) if len(out) < QUOTED else ""
        out.append({"step": name, "said": words})
    return out


async def _quote(records: Records, name: str) -> str:
    # both ids may hold slashes: a rollout's is VERSION/TASK/REPLICATE, a step's begins with a role path
    parts = name.split("/")
    for i in range(1, len(parts)):
        rollout = await records.read_rollout("/".join(parts[:i]))
        step = rollout.trajectory.step("/".join(parts[i:])) if rollout else None
        if rollout is not None and step is not None:
            return cut(said(rollout.trajectory, step), CHARACTERS)
    return ""


def changed(op: str, before: str, after: str) -> str:
    """What an edit changes, word by word: `- [-old-]` and `+ {+new+}`."""
    old, new = marked(before, after) if op == "MODIFY" else (before, after)
    parts = [("- ", old)] if op != "ADD" else []
    parts += [("+ ", new)] if op != "DELETE" else []
    return "\n".join(sign + text.replace("\n", "\n  ") for sign, text in parts)


def evidence_words(proposal: Mapping[str, Any]) -> list[str]:
    """What was measured, in a few lines."""
    c = proposal["comparison"]
    out = [
        f"Iteration {proposal['iteration']}: " + _passed(len(proposal["edits"])),
        str(proposal["words"]),
        f"{c['baseline']:.3f} -> {c['candidate']:.3f} on {c['n']} validation tasks, difference {c['estimate']:+.3f} "
        f"({c['low']:+.3f} to {c['high']:+.3f}), p = {c['p_value']:.3g} of {c['alpha']:.3g}",
        f"fixed: {named(c['fixed'])}; broken: {named(c['broken'])}",
    ]
    return [*out, *(guard_words(g) for g in proposal["guards"])]


def _passed(edits: int) -> str:
    return "one edit passed the gate." if edits == 1 else f"{edits} edits passed the gate together."


def guard_words(guard: Mapping[str, Any]) -> str:
    """What a guard says, in one line."""
    held = "held" if guard.get("passed") else "not held"
    return f"guard {guard.get('key')}: {held}, {guard.get('estimate')} (margin {guard.get('margin')})"


def asking_words(edit: Mapping[str, Any]) -> list[str]:
    """Why an edit was asked for: reason, support, the tasks, and what stood in the steps."""
    out = [str(edit["reason"])] if edit["reason"] else []
    if edit["tasks"]:
        share = f" ({edit['support']:.0%} of those sampled)" if edit["support"] else ""
        out.append(f"asked for by the tasks {named(edit['tasks'])}{share}")
    for quote in edit["evidence"]:
        if quote["said"]:
            out.append(f"{quote['step']} said: {quote['said']}")
    return out


def named(names: Sequence[str], most: int = 8) -> str:
    """The first names, and how many more there are; `none`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) + more) or "none"


def waiting(proposal: Mapping[str, Any]) -> str:
    """Which edits wait, in one sentence."""
    ids = ", ".join(e["id"] for e in proposal["edits"])
    verb = "waits" if len(proposal["edits"]) == 1 else "wait"
    return f"iteration {proposal['iteration']}: {ids} passed the gate and {verb} for an answer"


def kept_edits(batch: Batch, verdict: Mapping[str, Any]) -> tuple[Edit, ...]:
    """The edits that a verdict keeps, in the batch's order."""
    kept = {e["id"] for e in verdict["edits"]}
    return tuple(e for e in batch.edits if e.id in kept)
