"""Suggestions without a model: what separates failed from solved train tasks becomes rules.

For each agent and each field it answers: worked examples, instructions with telling words, definitions of a form.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph_truce.answers import answers, is_own, owners, same
from langgraph_truce.rules.edit import Suggestion
from langgraph_truce.rules.rule import Rule
from langgraph_truce.seams import Batch, Lab, Memory, Rollout, Suggester
from langgraph_truce.suggest.telling import shape_of, telling_words, words_of
from langgraph_truce.task import Task


@dataclass(frozen=True, slots=True)
class _Settings:
    words: int
    examples: int
    least: int
    share: float


@dataclass(frozen=True, slots=True)
class _Case:
    """One task of an agent in one rollout."""

    task: Task
    given: Mapping[str, Any]
    """What the agent gave; empty where it was not asked."""
    evidence: tuple[str, ...]
    """Its steps as `ROLLOUT/STEP`, or those of the agents that should have asked it."""

    def wrong(self, key: str) -> bool:
        return key not in self.given or not same(self.given[key], self.task.reference_outputs[key])

    @property
    def text(self) -> str:
        return " ".join(str(v) for v in self.task.inputs.values())


@dataclass(frozen=True, slots=True)
class _Agent:
    """One agent with its own tasks."""

    name: str
    cases: tuple[_Case, ...]
    fields: tuple[str, ...]
    """Reference fields it answers, in its own order."""
    rules: tuple[Rule, ...] = field(default_factory=tuple)

    def values(self, key: str) -> tuple[str, ...]:
        """Expected values of a field as texts, one per case."""
        return tuple(str(c.task.reference_outputs[key]) for c in self.cases)

    def choice(self, key: str) -> bool:
        """Is the field a choice between few values, each seen again?"""
        counts = Counter(self.values(key))
        return len(counts) > 1 and len(counts) * 3 <= len(self.cases)


def contrast(*, words: int = 6, examples: int = 1, least: int = 2, share: float = 0.8) -> Suggester:
    """Suggestions from the train tasks alone; asks no model.

    - A worked example for each value of the agent's last choice field (one example where it has none): the failed task
      whose words are most typical of that value, with the whole right answer.
    - An instruction for each value of a choice field that was missed: the words that tell its tasks from the others. Where
      a rule already says so with other words, it is modified; where no word tells and more answers with that value are
      wrong than right, it is deleted.
    - A definition for each other field whose right values share a form, once no new example is left to show it.

    An agent's tasks are those whose reference names it (`department: "billing"` for the agent `billing`); all tasks, where
    no reference names it. Its fields are those of the reference that it answered; for an agent that was never asked,
    those that its siblings answered.

    Args:
        words: Telling words of one instruction, at most.
        examples: Worked examples for each value; 0 for none.
        least: Failed tasks that an instruction or definition needs.
        share: Share of right values, in (0, 1], that must have the same form for a definition.
    """
    settings = _Settings(words, examples, least, share)

    async def suggest(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Suggestion, ...], Memory]:  # noqa: ARG001
        tried = {
            (str(e.get("agent")), str(e.get("op")), str(e.get("text")))
            for trial in batch.history
            if trial.get("decision") in {"reject", "declined"} and isinstance(e := trial.get("edit"), Mapping)
        }
        found = [s for agent in _agents(batch) for s in _suggestions(agent, settings)]
        return tuple(s for s in found if (s.agent, s.op, s.instruction) not in tried), memory

    return suggest


def _agents(batch: Batch) -> list[_Agent]:
    owned = owners(batch)
    said = [(r, list(answers(r, batch.book))) for r in batch.rollouts if r.task in batch.tasks]
    keys: dict[str, dict[str, None]] = {name: {} for name in batch.book.agents}
    for rollout, steps in said:
        reference = batch.tasks[rollout.task].reference_outputs
        for agent, _, given in steps:
            keys[agent] |= {k: None for k in given if k in reference}
    out: list[_Agent] = []
    for name in batch.targets:
        field_of = owned.get(name, ("", ""))[0]
        like = [a for a in owned if owned[a][0] == field_of] if field_of else []
        own = keys.get(name) or {k: None for a in like for k in keys[a]}
        cases = [
            _case(name, rollout, steps, batch.tasks[rollout.task], field_of)
            for rollout, steps in said
            if is_own(name, batch.tasks[rollout.task], owned)
        ]
        fields = tuple(k for k in own if all(k in c.task.reference_outputs for c in cases))
        rules = batch.book.agents[name].rules if name in batch.book.agents else ()
        out.append(_Agent(name, tuple(cases), fields, rules))
    return out


def _case(name: str, rollout: Rollout, steps: Sequence[Any], task: Task, routed_by: str) -> _Case:
    mine = [(step, given) for agent, step, given in steps if agent == name]
    given = mine[-1][1] if mine else {}
    cited = [s for s, _ in mine] or [s for _, s, fields in steps if routed_by in fields]
    return _Case(task, given, tuple(f"{rollout.id}/{s.id}" for s in cited))


def _suggestions(agent: _Agent, settings: _Settings) -> list[Suggestion]:
    if not agent.cases or not agent.fields:
        return []
    choices = [k for k in agent.fields if agent.choice(k)]
    shown = _examples(agent, choices, settings)
    out = list(shown)
    for key in agent.fields:
        if key in choices:
            for value in sorted(set(agent.values(key))):
                out += _instruction(agent, key, value, settings)
        elif not shown:
            out += _definition(agent, key, settings)
    return out


def _examples(agent: _Agent, choices: Sequence[str], settings: _Settings) -> list[Suggestion]:
    """Worked examples; each is asked for by every failed task that it would help: of its value, or with an open field wrong."""
    open_fields = [k for k in agent.fields if k not in choices]
    key = choices[-1] if choices else ""
    out: list[Suggestion] = []
    for value in sorted(set(agent.values(key))) if key else [""]:
        group = [c for c in agent.cases if not key or str(c.task.reference_outputs[key]) == value]
        others = [c for c in agent.cases if c not in group]
        helped = [
            c
            for c in agent.cases
            if any(c.wrong(k) for k in open_fields) or (key and c in group and c.wrong(key))
        ]
        typical = _typical(group, others, settings)
        shown = [r.task for r in agent.rules if r.kind == "example"]
        fresh = [c for c in typical if c in helped and c.task.id not in shown]
        for case in fresh[: max(0, settings.examples - sum(c.task.id in shown for c in group))]:
            rest = [c for c in helped if c is not case]
            out.append(
                Suggestion(
                    "ADD",
                    agent.name,
                    _example_text(case, agent),
                    kind="example",
                    reason=f"{len(helped)} of {len(agent.cases)} tasks failed that this answer shows how to do"
                    + (f" ({key}: {value!r})" if key else ""),
                    evidence=_cited([case, *rest]),
                    tasks=tuple(dict.fromkeys(c.task.id for c in [case, *rest])),
                )
            )
    return out


def _typical(group: Sequence[_Case], others: Sequence[_Case], settings: _Settings) -> list[_Case]:
    """Cases with most of the words that tell the group from the others first; short ones first among equals."""
    telling = set(telling_words([c.text for c in group], [c.text for c in others], 4 * settings.words))
    return sorted(group, key=lambda c: (-len(words_of(c.text) & telling), len(c.text), c.task.id))


def _example_text(case: _Case, agent: _Agent) -> str:
    asked = "\n".join(f"{k.replace('_', ' ').capitalize()}: {v}" for k, v in case.task.inputs.items())
    answer = {k: case.task.reference_outputs[k] for k in agent.fields}
    return f"{asked}\nAnswer: {json.dumps(answer, ensure_ascii=False)}"


def _instruction(agent: _Agent, key: str, value: str, settings: _Settings) -> list[Suggestion]:
    inside = [c for c in agent.cases if str(c.task.reference_outputs[key]) == value]
    missed = [c for c in inside if c.wrong(key)]
    stem = f'Choose {key} "{value}" when the text has words like '
    rule = next((r for r in agent.rules if r.text.startswith(stem)), None)
    told = telling_words(
        [c.text for c in inside], [c.text for c in agent.cases if c not in inside], settings.words
    )
    text = f"{stem}{', '.join(told)}."
    if rule and not told:
        return _deletion(agent, key, value, rule)
    if not told or len(missed) < settings.least or (rule and (rule.protected or rule.text == text)):
        return []
    reason = f"{key} {value!r} was missed in {len(missed)} of {len(inside)} tasks; these words tell them from the others"
    return [
        Suggestion(
            "MODIFY" if rule else "ADD",
            agent.name,
            text,
            rule=rule.id if rule else "",
            reason=reason,
            evidence=_cited(missed),
            tasks=tuple(dict.fromkeys(c.task.id for c in missed)),
        )
    ]


def _deletion(agent: _Agent, key: str, value: str, rule: Rule) -> list[Suggestion]:
    """A learned instruction that no word supports any more, and whose value is more often wrong than right."""
    chosen = [c for c in agent.cases if key in c.given and same(c.given[key], value)]
    wrong = [c for c in chosen if c.wrong(key)]
    if rule.protected or 2 * len(wrong) <= len(chosen):
        return []
    reason = f"{key} {value!r} was wrong in {len(wrong)} of the {len(chosen)} tasks where it was given"
    tasks = tuple(dict.fromkeys(c.task.id for c in wrong))
    return [
        Suggestion(
            "DELETE", agent.name, reason, rule=rule.id, reason=reason, evidence=_cited(wrong), tasks=tasks
        )
    ]


def _definition(agent: _Agent, key: str, settings: _Settings) -> list[Suggestion]:
    """The form of a field's right values."""
    failed = [c for c in agent.cases if c.wrong(key)]
    values = agent.values(key)
    form = shape_of(values, settings.share)
    text = f'Write {key} as {form}, for example "{values[0]}".'
    if (
        not form
        or len(failed) < settings.least
        or any(r.text.startswith(f"Write {key} as {form}") for r in agent.rules)
    ):
        return []
    return [
        Suggestion(
            "ADD",
            agent.name,
            text,
            reason=f"{key} was wrong in {len(failed)} tasks; right values have this form",
            evidence=_cited(failed),
            tasks=tuple(dict.fromkeys(c.task.id for c in failed)),
        )
    ]


def _cited(cases: Sequence[_Case]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(e for c in cases for e in c.evidence))
