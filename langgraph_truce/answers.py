"""What an agent said, field by field, and whose task it was: what credit and suggestions without a model read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from langgraph_truce.batch import agent_of, role_of
from langgraph_truce.choices import RULES, letters_of, read_choice, rule_id
from langgraph_truce.errors import NOT_JSON
from langgraph_truce.rules.rule import RuleBook
from langgraph_truce.seams import Batch, Rollout
from langgraph_truce.task import Task
from langgraph_truce.trajectory.step import Step, Trajectory

Right = Callable[[str, Task], bool | None]
"""Is this text the right answer of the task? None where that cannot be told."""

DEFAULT = "first_standalone"
"""The extraction rule where nothing names another: the paper's (TSCA 5.1)."""
_NO_LETTER = re.compile(r"[^0-9a-z]+")


@dataclass(frozen=True, slots=True)
class RightChoice:
    """Is a text the right answer of a multiple-choice question? What `right_choice` makes."""

    rule: str | None
    """Extraction rule with version; None: what the task names in `metadata["rule"]`, else `first_standalone`."""

    def __call__(self, text: str, task: Task) -> bool | None:
        """True, False (also where no option can be read), or None where the task is no multiple-choice question.

        Raises:
            UnknownNameError: the task names a rule that there is not.
        """
        letters = letters_of(task.inputs)
        answer = task.reference_outputs.get("answer")
        if not isinstance(answer, str) or len(answer) != 1 or answer not in letters:
            return None
        return read_choice(text, letters, rule=self.rule or task.metadata.get("rule", DEFAULT)) == answer

    def chooses(self, text: str, task: Task) -> bool:
        """Does a text name an option of the task, by any rule? True where the task has no options."""
        letters = letters_of(task.inputs)
        return not letters or any(read_choice(text, letters, rule=rule) for rule in RULES)


def right_choice(rule: str | None = None) -> RightChoice:
    """Is a text the right answer of a multiple-choice question? A text without a readable option is wrong (False).

    None where the task is no multiple-choice question: its inputs have no `options` under letters, or its
    `reference_outputs["answer"]` is none of them.

    Args:
        rule: a name of `langgraph_truce.choices.RULES`; without a version the newest. None takes what the task names in
            `metadata["rule"]` (the rule that its evaluator reads answers with), else `first_standalone`.

    Raises:
        UnknownNameError: there is no such rule.
    """
    return RightChoice(None if rule is None else rule_id(rule))


def said(trajectory: Trajectory, step: Step) -> dict[str, Any]:
    """The fields a step gave: its writes (one level into mappings and lists of mappings), and its last reply's JSON.

    Where both have a field, the write counts: it is what the other nodes saw.
    """
    fields: dict[str, Any] = {}
    for call in step.calls[-1:]:
        if call.output is not None:
            fields |= _object(trajectory.value(call.output))
    for channel, ref in step.writes.items():
        value = trajectory.value(ref)
        parts = value if isinstance(value, list) else [value]
        inner = [p for p in parts if isinstance(p, Mapping)]
        for part in inner:
            fields |= part
        if not inner:
            fields[channel] = value
    return fields


def same(one: Any, other: Any) -> bool:
    """Are two field values equal? Texts without case and surplus white space, all else by value."""
    return bool(_plain(one) == _plain(other))


def owners(batch: Batch) -> dict[str, tuple[str, Any]]:
    """Agents that a reference value names, each with that field and value: `{"billing": ("department", "billing")}`.

    A task whose reference names an agent is that agent's: what the others make of it is not their fault.
    """
    names = {_name(role_of(agent)): agent for agent in batch.book.agents}
    found: dict[str, tuple[str, Any]] = {}
    for task in batch.tasks.values():
        for key, value in task.reference_outputs.items():
            agent = names.get(_name(value)) if isinstance(value, str) else None
            if agent:
                found.setdefault(agent, (key, value))
    return found


def is_own(agent: str, task: Task, owned: Mapping[str, tuple[str, Any]]) -> bool:
    """Is `task` one that `agent` should answer? Always, where no reference value names the agent."""
    if agent not in owned:
        return True
    key, value = owned[agent]
    return key in task.reference_outputs and same(task.reference_outputs[key], value)


def answers(rollout: Rollout, book: RuleBook) -> Iterable[tuple[str, Step, dict[str, Any]]]:
    """Agent, step and given fields, for every step of a rollout that ran with rules."""
    for step in rollout.trajectory.steps:
        agent = agent_of(book, step.role, step.round)
        if agent:
            yield agent, step, said(rollout.trajectory, step)


def _object(message: Any) -> dict[str, Any]:
    """A message's content as a JSON object, or the arguments of its tool calls; empty where it is neither."""
    if not isinstance(message, Mapping):
        return {}
    fields: dict[str, Any] = {}
    for call in message.get("tool_calls") or ():
        fields |= call.get("args") or {}
    content = message.get("content")
    if isinstance(content, str) and content.lstrip().startswith("{"):
        try:
            value = json.loads(content)
        except NOT_JSON:
            return fields  # a cut-off reply gave no fields
        if isinstance(value, dict):
            fields |= value
    return fields


def _name(value: str) -> str:
    return _NO_LETTER.sub("_", value.rsplit("/", maxsplit=1)[-1].casefold()).strip("_")


def _plain(value: Any) -> Any:
    return " ".join(value.casefold().split()) if isinstance(value, str) else value
