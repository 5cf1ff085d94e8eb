"""majority_vote: right where the most frequent option of several free texts is the right one; what cannot be read does not vote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langgraph_truce.choices import asked, plurality, read_choice, rule_id

NEWEST = "first_standalone"
"""The default rule, in its newest version."""
OBJECTIVE = "majority_vote"
"""Key of the score; the other key, `valid`, is the share of texts in which an option could be read."""


def majority_vote_with(
    *, rule: str = NEWEST, letters: str = "", field: str = "answers"
) -> Callable[..., list[dict[str, Any]]]:
    """An evaluator like `majority_vote` with another extraction rule, or other letters.

    Args:
        rule: a name of `langgraph_truce.choices.RULES`; without a version the newest.
        letters: what the rule may read; "" takes the letters of each task's own `options`.
        field: which field of the answer holds the texts.

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
        texts = _texts(outputs.get(field) if isinstance(outputs, Mapping) else outputs)
        read = [read_choice(t, among, rule=named) if isinstance(t, str) else "" for t in texts]
        return _verdict(read, right, among, named)

    settings = [s for s in (named if rule != NEWEST else "", letters) if s]
    evaluate.__name__ = f"{OBJECTIVE}({', '.join(settings)})" if settings else OBJECTIVE  # a run's identity
    evaluate.__dict__["objective"] = OBJECTIVE
    return evaluate


def _texts(given: Any) -> Sequence[Any]:
    """The texts by vote; one text alone is one vote, anything else none."""
    if isinstance(given, str):
        return [given]
    return list(given) if isinstance(given, list | tuple) else []


def _verdict(read: Sequence[str], right: str, among: str, rule: str) -> list[dict[str, Any]]:
    won = plurality(read)
    invalid = read.count("")
    if not won:
        words = f"invalid: expected {right}, none of {among} can be read in {len(read)} answers"
    else:
        said = f"right: {right}" if won == right else f"wrong: expected {right}, got {won}"
        words = f"{said}, {read.count(won)} of {len(read)} votes, {invalid} invalid"
    by = {"value": won, "evaluator_info": {"rule": rule}}
    share = (len(read) - invalid) / len(read) if read else 0.0
    return [
        {"key": OBJECTIVE, "score": float(won == right), "comment": f"{words} ({rule})", **by},
        {"key": "valid", "score": share, **by},
    ]


majority_vote = majority_vote_with()
"""1 where the plurality of the options read by the newest `first_standalone` rule is the right one, else 0.

The system answers with a list of texts, or a mapping with it under `answers`; ties go to the option found first, and texts in
which none can be read do not vote: `valid` is the share that can. Task and comment as for `multiple_choice`.
"""
