"""What a model suggests for one agent is checked before it counts: form, evidence, protection, repetition (contracts 4, 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from langgraph_truce.batch import hung
from langgraph_truce.rules.edit import Op, Suggestion
from langgraph_truce.rules.rule import AgentRules
from langgraph_truce.seams import Batch, Rollout
from langgraph_truce.suggest.replies import SuggestedEdit

_OPS = get_args(Op)


@dataclass(frozen=True, slots=True)
class Target:
    """The agent whose rules may be changed."""

    agent: str
    rules: AgentRules
    tried: tuple[Mapping[str, Any], ...]
    """Edits of this agent that were not kept, as JSON."""

    @property
    def history(self) -> str:
        """The edits that were not kept, one a line, for a prompt."""
        return "\n".join(
            f"- {e['op']} {e['rule']}".rstrip() + f": {hung(e['text']) or '(the rule goes)'}"
            for e in self.tried
        )


def target_of(batch: Batch, agent: str) -> Target:
    """An agent of the book with its rules, and its edits that the gate or a person turned down."""
    tried = tuple(
        h["edit"]
        for h in batch.history
        if h["decision"] in {"reject", "declined"} and h["edit"]["agent"] == agent
    )
    return Target(agent, batch.book.agents[agent], tried)


def checked(
    said: Sequence[SuggestedEdit], target: Target, rollouts: Sequence[Rollout], at_most: int
) -> tuple[list[Suggestion], list[dict[str, Any]]]:
    """The suggestions that count, and a record `{"agent", "why", "instruction"}` of each that does not.

    Args:
        said: what the model suggests.
        target: whose rules it is about.
        rollouts: what was shown of; evidence is a step of one of them, cited as `ROLLOUT/STEP`, or as `STEP` where only one
            of them has such a step.
        at_most: suggestions taken, in order.
    """
    steps: dict[str, list[tuple[str, str]]] = {}
    for rollout in rollouts:
        for step in rollout.trajectory.step_ids:
            whole = (f"{rollout.id}/{step}", rollout.task)
            steps.setdefault(step, []).append(whole)
            steps[whole[0]] = [whole]
    good: list[Suggestion] = []
    records: list[dict[str, Any]] = []
    for n, one in enumerate(said):
        found = [steps.get(i.strip(" `[]"), ()) for i in one.evidence]
        evidence = {whole: task for places in found if len(places) == 1 for whole, task in places}
        why = f"more than the {at_most} suggestions asked for" if n >= at_most else _fault(one, target)
        if not evidence and not why:
            cited = ", ".join(one.evidence) or "none"
            why = f"the {one.op} cites no step of {', '.join(r.id for r in rollouts)}; cited: {cited}"
        if why:
            records.append({"agent": target.agent, "why": why, "instruction": one.instruction})
        else:
            good.append(_suggestion(one, target, evidence))
    return good, records


def _fault(said: SuggestedEdit, target: Target) -> str:
    """Why a suggestion cannot be used, whatever it cites; empty where it can."""
    op, rule_id, text = said.op.strip().upper(), _rule_id(said), said.instruction.strip()
    rules = target.rules.rules
    rule = next((r for r in rules if r.id == rule_id), None)
    if op not in _OPS:
        return f"{said.op!r} is no operation; they are: {', '.join(_OPS)}"
    if not text:
        return f"the {op} has no instruction"
    if op != "ADD":
        if rule is None:
            there = ", ".join(r.id for r in rules) or "none"
            return f"{target.agent!r} has no rule {said.rule!r} to {op}; its rules are: {there}"
        if rule.protected:
            return f"rule {rule_id!r} of {target.agent!r} is protected"
    if op != "DELETE" and any(_same(text, r.text) for r in rules):
        return f"the {op} says what a rule of {target.agent!r} says already"
    return "it was tried and rejected before" if _tried(op, rule_id, text, target) else ""


def _tried(op: str, rule_id: str, text: str, target: Target) -> bool:
    """Was the same edit rejected? A DELETE is the same whatever its reason, but only of the text that stood there."""
    for edit in target.tried:
        if edit["op"] != op or (op != "ADD" and edit["rule"] != rule_id):
            continue
        if op == "DELETE" and edit["old_hash"] == target.rules.rule(rule_id).hash:
            return True
        if op != "DELETE" and _same(edit["text"], text):
            return True
    return False


def _same(one: str, other: str) -> bool:
    return " ".join(one.casefold().split()) == " ".join(other.casefold().split())


def _rule_id(said: SuggestedEdit) -> str:
    return "" if said.op.strip().upper() == "ADD" else said.rule.strip(" `[]:")


def _suggestion(said: SuggestedEdit, target: Target, evidence: Mapping[str, str]) -> Suggestion:
    op: Op = next(o for o in _OPS if o == said.op.strip().upper())
    return Suggestion(
        op=op,
        agent=target.agent,
        instruction=said.instruction.strip(),
        rule=_rule_id(said),
        reason=said.reason.strip(),
        evidence=tuple(evidence),
        tasks=tuple(dict.fromkeys(evidence.values())),
    )
