"""multiple_choice: right where the option that is read out of a free text is the right one; what cannot be read is counted apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langgraph_truce.choices import asked, read_choice, rule_id

NEWEST = "first_standalone"
"""The default rule, in its newest version."""
OBJECTIVE = "multiple_choice"
"""Key of the score; the other key, `valid`, is 1 where an option could be read."""


def multiple_choice_with(
    *, rule: str = NEWEST, letters: str = "", field: str = "answer"
) -> Callable[..., list[dict[str, Any]]]:
    """An evaluator like `multiple_choice` with another extraction rule, or other letters.

    Args:
        rule: a name of `langgraph_truce.choices.RULES`; without a version the newest.
        letters: what the rule may read, "ABCD" for example: an answer under another letter is then invalid, as in papers that
            read A to D only. "" takes the letters of each task's own `options`; name them where tasks have no such field.
        field: which field of the answer holds the text.

    Raises:
        UnknownNameError: there is no such rule.
        UserMistake: `letters` are not the first 2 to 10 letters.
    """
    named = rule_id(rule)
    if letters:
        read_choice("", letters, rule=named)  # says what is wrong with them before the first task

    def evaluate(
        inputs: Mapping[str, Any], outputs: Any, reference_outputs: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        among, right = asked(inputs, reference_outputs, letters=letters)
        text = outputs.get(field) if isinstance(outputs, Mapping) else outputs
        read = read_choice(text, among, rule=named) if isinstance(text, str) else ""
        return _verdict(read, right, among, named)

    settings = [s for s in (named if rule != NEWEST else "", letters) if s]
    evaluate.__name__ = f"{OBJECTIVE}({', '.join(settings)})" if settings else OBJECTIVE  # a run's identity
    evaluate.__dict__["objective"] = OBJECTIVE
    return evaluate


def _verdict(read: str, right: str, among: str, rule: str) -> list[dict[str, Any]]:
    """The score, and whether anything was read, as LangSmith's results; both name the rule."""
    if not read:
        words = f"invalid: expected {right}, none of {among} can be read"
    elif read == right:
        words = f"right: {right}"
    else:
        words = f"wrong: expected {right}, got {read}"
    by = {"value": read, "evaluator_info": {"rule": rule}}
    return [
        {"key": OBJECTIVE, "score": float(read == right), "comment": f"{words} ({rule})", **by},
        {"key": "valid", "score": float(bool(read)), **by},
    ]


multiple_choice = multiple_choice_with()
"""1 where the option read by the newest `first_standalone` rule is the right one, else 0; `valid` is 0 where none can be read.

The system answers with a text, or a mapping with the text under `answer`. The task has its options in `inputs["options"]`,
from 2 to 10 of them by letter, and the right letter in `reference_outputs["answer"]`. The comment names the rule. An invalid
answer is wrong too; as a guard, `valid` keeps edits from making answers unreadable.
"""
