"""What agents, ranker and rater are sent beside their instructions: the question, the answers of a round, the form of the reply.

The form of a reply is fixed here and is no rule: the protocol reads letters, ratings and picks from replies, and an edit of
the rules cannot break that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph_truce.choices import letters_of
from langgraph_truce.errors import UserMistake

from .protocol import without_ratings

LETTER = "End with the letter of one option in parentheses, like (X)."
RATE = (
    "In the last line rate each of the {n} answers, in the order shown, from 1 (poor) to 5 (very good): "
    "{n} numbers in double brackets, like [[3, ...]]."
)
PICK = "Which two of the {n} answers are best? End with their numbers in brackets, like [i, j]; the better one first."


def question(task: Mapping[str, Any]) -> str:
    """The question and its options, one line each.

    Raises:
        UserMistake: the task is no multiple-choice question.
    """
    if not task.get("question") or not letters_of(task):
        raise UserMistake(
            "dylan needs a task with `question` and `options` (a text for each of 2 to 10 letters from A on), got the "
            f"fields {', '.join(sorted(task)) or 'none'}"
        )
    return "\n".join([str(task["question"]), *(f"({k}) {text}" for k, text in task["options"].items())])


def first(task: Mapping[str, Any]) -> str:
    """What an agent is asked in round 1."""
    return f"{question(task)}\n\nGive your reasons. {LETTER}"


def later(task: Mapping[str, Any], said: Sequence[str]) -> str:
    """What an agent is asked from round 2 on: the answers of the round before, its own among them, and to rate them."""
    ask = "Judge these answers critically; yours is among them. Then give your updated answer with your reasons."
    return f"{question(task)}\n\n{listed(said)}\n\n{ask} {LETTER} {RATE.format(n=len(said))}"


def ranking(task: Mapping[str, Any], said: Sequence[str]) -> str:
    """What the ranker is asked."""
    return f"{question(task)}\n\n{listed(said)}\n\n{PICK.format(n=len(said))}"


def rating(task: Mapping[str, Any], said: Sequence[str]) -> str:
    """What the rater of the form with aggregators is asked."""
    return f"{question(task)}\n\n{listed(said)}\n\n{RATE.format(n=len(said))}"


def shared(task: Mapping[str, Any], state: str) -> str:
    """What an agent of the form with aggregators is asked; `state` is S_(t-1), "" in round 1."""
    if not state:
        return first(task)
    ask = "Judge it critically. Then give your updated answer with your reasons."
    return f"{question(task)}\n\n{quoted('The debate so far', state)}\n\n{ask} {LETTER}"


def summary(task: Mapping[str, Any], said: Sequence[str]) -> str:
    """What the aggregator is asked, to write S_t from the answers of the round."""
    return (
        f"{question(task)}\n\n{listed(said)}\n\nWrite what the agents shall know in the next round. {LETTER}"
    )


def decision(task: Mapping[str, Any], state: str) -> str:
    """What is asked at the end; `state` is S_R."""
    return f"{question(task)}\n\n{quoted('The debate', state)}\n\nGive the answer. {LETTER}"


def listed(said: Sequence[str]) -> str:
    """Answers by number, each line quoted: what an agent says must not pass for another answer."""
    return "\n\n".join(quoted(f"Answer {n}", without_ratings(text)) for n, text in enumerate(said, 1))


def quoted(head: str, text: str) -> str:
    """`text` under a heading, each of its lines marked."""
    return "\n".join([f"{head}:", *(f"> {line}" for line in (text or "(none)").splitlines())])
