"""Review: after the gate, before anything is applied, a person may look at the edits that passed.

The review box of the optimizer graph raises a LangGraph `interrupt` whose value is a proposal (`optimizer/proposal.py`);
what it is resumed with are the answers. Whoever answers (a terminal, a file, Studio, a web app) is a `Reviewer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args

from langgraph_truce.errors import EditError, UserMistake
from langgraph_truce.rules import Edit, RuleBook, apply

Proposal = Mapping[str, Any]
"""JSON: what passed the gate, with its evidence; "problem" says what was wrong with an earlier answer, else it is empty."""
Answers = Mapping[str, Any]
"""JSON: `{"edits": {EDIT_ID: {"answer": "accept" | "reject" | "reword" | "defer", "text": ..., "comment": ...}}, "by": NAME}`.

Every edit of the proposal has an answer; `text` belongs to `reword` alone, `comment` may stay out.
"""
Answer = Literal["accept", "reject", "reword", "defer"]
UNNAMED = "somebody"
"""Who approved, where nobody said."""


class Reviewer(Protocol):
    """Answers a proposal."""

    async def __call__(self, proposal: Proposal) -> Answers | None:
        """The answers; None where they are not there yet: the run stops with `ReviewPending` and is resumed later."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a person decided, ready to be applied or to be tested again."""

    by: str
    accepted: tuple[Edit, ...]
    """As they were proven."""
    reworded: tuple[Edit, ...]
    """In the person's words; their ids end in `w`."""
    declined: tuple[Edit, ...]
    deferred: tuple[Edit, ...]
    comments: Mapping[str, str]
    """Edit id -> what the person said to it."""
    candidate: tuple[Edit, ...]
    """Accepted and reworded edits, in the order of the proposal."""

    @property
    def proven(self) -> bool:
        """True where the gate has proven this very set; any other set is one that nobody has measured."""
        return not (self.reworded or self.declined or self.deferred)


def reworded_id(edit_id: str) -> str:
    """The id of a person's wording of an edit."""
    return f"{edit_id}w"


def decided(book: RuleBook, edits: Sequence[Edit], answers: Any) -> Reviewed:
    """What `answers` decide on `edits`, which passed the gate as a set for `book`.

    Raises:
        UserMistake: an answer is missing, unknown or does not fit the rules; the sentence names edit and way out.
    """
    said = _said(edits, answers)
    sorted_: dict[str, list[Edit]] = {name: [] for name in get_args(Answer)}
    candidate: list[Edit] = []
    for edit in edits:
        answer = said[edit.id]["answer"]
        one = edit
        if answer == "reword":
            one = replace(edit, id=reworded_id(edit.id), text=said[edit.id]["text"])
        sorted_[answer].append(one)
        if answer in {"accept", "reword"}:
            candidate.append(one)
    try:
        apply(book, candidate)
    except EditError as e:
        raise UserMistake(f"the new wording does not fit: {e}") from e
    return Reviewed(
        by=str(answers.get("by") or UNNAMED),
        accepted=tuple(sorted_["accept"]),
        reworded=tuple(sorted_["reword"]),
        declined=tuple(sorted_["reject"]),
        deferred=tuple(sorted_["defer"]),
        comments={name: str(one.get("comment") or "") for name, one in said.items()},
        candidate=tuple(candidate),
    )


def _said(edits: Sequence[Edit], answers: Any) -> Mapping[str, Mapping[str, Any]]:
    known = ", ".join(e.id for e in edits)
    if not isinstance(answers, Mapping) or not isinstance(answers.get("edits"), Mapping):
        raise UserMistake(
            f'answers have the form {{"edits": {{EDIT: {{"answer": ...}}}}, "by": NAME}} for the edits {known}, '
            f"got {_short(answers)}"
        )
    if foreign := sorted(str(k) for k in answers.keys() - {"edits", "by"}):
        raise UserMistake(f"answers have `edits` and `by`, got also {', '.join(foreign)}")
    said = answers["edits"]
    if strange := sorted(str(k) for k in said.keys() - {e.id for e in edits}):
        raise UserMistake(f"no edit {', '.join(strange)} waits for an answer; there are: {known}")
    for edit in edits:
        _check(edit, said.get(edit.id))
    return said  # type: ignore[no-any-return] # checked


def _check(edit: Edit, one: Any) -> None:
    ways = ", ".join(get_args(Answer))
    if one is None:
        raise UserMistake(f"edit {edit.id} has no answer; there are: {ways}")
    if not isinstance(one, Mapping) or one.get("answer") not in get_args(Answer):
        given = one.get("answer") if isinstance(one, Mapping) else one
        raise UserMistake(f"edit {edit.id}: the answer is one of {ways}, got {_short(given)}")
    if foreign := sorted(str(k) for k in one.keys() - {"answer", "text", "comment"}):
        raise UserMistake(
            f"edit {edit.id}: an answer has answer, text and comment, got also {', '.join(foreign)}"
        )
    if not isinstance(one.get("comment") or "", str):
        raise UserMistake(f"edit {edit.id}: the comment is a text, got {_short(one['comment'])}")
    text = one.get("text")
    if one["answer"] != "reword":
        if text not in (None, "", edit.text):
            raise UserMistake(
                f"edit {edit.id}: the text differs but the answer is {one['answer']}; answer reword"
            )
        return
    if edit.op == "DELETE":
        raise UserMistake(f"edit {edit.id} takes a rule out and has no wording; accept, reject or defer it")
    if not isinstance(text, str) or not text.strip():
        raise UserMistake(f"edit {edit.id}: reword needs the new wording in `text`, got {_short(text)}")
    if text == edit.text:
        raise UserMistake(f"edit {edit.id}: the new wording is the old one; answer accept, or change `text`")


def _short(value: Any, most: int = 60) -> str:
    said = repr(value)
    return said if len(said) <= most else f"{said[:most]}..."
