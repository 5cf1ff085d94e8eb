"""The iterations of a run as they stand: what the gate said, what a person made of it, what was taken back later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph_truce.codec import from_json
from langgraph_truce.errors import EditError
from langgraph_truce.optimizer.ledger import GATE, REVERT, WAITING, standing
from langgraph_truce.optimizer.phases import LOGS
from langgraph_truce.optimizer.records import Records
from langgraph_truce.optimizer.story_rollouts import moved
from langgraph_truce.report.figures import mean_of, tasks_needed
from langgraph_truce.report.story import Contrast, Shift, Turn
from langgraph_truce.rules import Edit, RuleBook, apply
from langgraph_truce.seams import Comparison

AGAIN = "read again"
"""Rollouts of an earlier phase of the turn."""
BY_PERSON = ("accept", "declined", "deferred")
"""Decisions that are a person's where one approves; all others are the gate's."""


@dataclass(frozen=True, slots=True)
class Boxes:
    """What the boxes of one iteration left."""

    iteration: int
    evaluate: Mapping[str, Any]
    credits: Sequence[Mapping[str, Any]]
    edits: Sequence[Mapping[str, Any]]
    gate: Mapping[str, Any] | None
    """The gate's verdict on what was suggested."""
    review: Mapping[str, Any] | None = None
    """What is applied, and by whom; None where that is not decided yet."""
    proposal: Mapping[str, Any] | None = None
    """What a person was asked."""
    answered: bool = False

    @property
    def source(self) -> str:
        """Where its rollouts came from: "" (run for it), `AGAIN` or `LOGS`."""
        if self.evaluate.get("source") == LOGS:
            return LOGS
        return "" if self.evaluate.get("fresh", True) else AGAIN

    @property
    def verdicts(self) -> tuple[Mapping[str, Any], ...]:
        """The gate's, and where a person changed what had passed, that on the changed set."""
        return tuple(v for v in (self.gate, (self.review or {}).get("verdict")) if v)

    @property
    def verdict(self) -> Mapping[str, Any] | None:
        """The last verdict: that on what is, or is not, applied."""
        return self.verdicts[-1] if self.verdicts else None

    @property
    def waiting(self) -> tuple[str, ...]:
        """Ids of the edits that passed the gate and wait for a person's answer."""
        if self.proposal is None or self.review is not None:
            return ()
        return tuple(str(e["id"]) for e in self.proposal["edits"])


@dataclass(frozen=True, slots=True)
class Stands:
    """How an iteration stands."""

    decision: str
    """As in `report.story.Turn`."""
    words: str
    approver: str
    """`gate`, or the person who decided; empty where nobody has yet."""


async def book_named(records: Records, name: str) -> RuleBook | None:
    """The rule book of that version; None where the run has not written it."""
    try:
        return await records.read_book(name)
    except KeyError:
        return None


async def boxes(records: Records) -> tuple[Boxes, ...]:
    """Every iteration whose rollouts were evaluated, in order."""
    found: list[Boxes] = []
    while (evaluated := await records.read_box(len(found) + 1, "evaluate")) is not None:
        t = len(found) + 1
        names = ("credit", "write", "gate", "review", "proposal", "answers")
        credits_, edits, gate, review, asked, answers = [await records.read_box(t, name) for name in names]
        found.append(
            Boxes(t, evaluated, credits_ or [], edits or [], gate, review, asked, answers is not None)
        )
    return tuple(found)


def stands(box: Boxes, ledger: Sequence[Mapping[str, Any]]) -> Stands:
    """What holds now of an iteration, in words and by whom."""
    if box.gate is None:
        return Stands("", "", "")
    words = str(box.gate["words"])
    if box.waiting:
        state = "was answered, and goes on from the answer" if box.answered else "waits for an answer"
        return Stands(WAITING, f"{_closed(words)} It passed the gate and {state}.", "")
    found = Stands(str(box.gate["decision"]), words, GATE)
    if box.review is not None and box.review["by"]:
        found = _by_person(box.review, words)
    lines = [x for x in standing(ledger).values() if x["iteration"] == box.iteration]
    back = [x for x in lines if x.get("kind") == REVERT]
    if not back:
        return found
    who = ", ".join(dict.fromkeys(str(x["approver"]) for x in back))
    said = f"{_closed(found.words)} Taken back later by {who}: {', '.join(str(x['id']) for x in back)}."
    rest = any(x["decision"] == "accept" for x in lines)
    return Stands(found.decision, said, found.approver) if rest else Stands("reverted", said, who)


def _by_person(review: Mapping[str, Any], gate: str) -> Stands:
    decision, who, words = str(review["decision"]), str(review["by"]), str(review["words"])
    if "verdict" in review:
        words = f"{_closed(gate)} {who} changed what had passed, and it was tested again: {words}"
    elif decision == "accept":
        words = f"{_closed(gate)} Accepted by {who}."
    else:
        words = f"{_closed(gate)} Then {words}."
    return Stands(decision, words, who if decision in BY_PERSON else GATE)


def _closed(words: str) -> str:
    """As a sentence that another can follow."""
    return words if words.endswith(".") else f"{words}."


async def turns(
    records: Records, done: Sequence[Boxes], initial: RuleBook | None, ledger: Sequence[Mapping[str, Any]]
) -> tuple[Turn, ...]:
    """One turn per iteration; its figures are those of the last gate."""
    found: list[Turn] = []
    for box in done:
        gated = [x for x in ledger if x["iteration"] == box.iteration and x.get("kind") == "edit"]
        known = {x["id"]: x["edit"] for x in gated}
        # what the last gate's figures are about: its lines say it
        sets = [x["set"] for x in gated if x.get("set")]
        about = [known[name] for name in (sets[-1] if sets else ()) if name in known]
        book = await book_named(records, gated[0]["version_before"]) if gated else initial
        tested: Sequence[Mapping[str, Any]] = about or (box.verdict or {}).get("edits") or box.edits
        found.append(await _turn(records, box, book, tested, stands(box, ledger)))
    return tuple(found)


async def _turn(
    records: Records,
    box: Boxes,
    book: RuleBook | None,
    tested: Sequence[Mapping[str, Any]],
    how: Stands,
) -> Turn:
    row, verdict = box.evaluate, box.verdict
    train = mean_of(row["train_score"], row["tasks"]) if row["tasks"] else None
    source = box.source
    bare = Turn(box.iteration, train, row.get("excluded", 0), row.get("errors", 0), source=source)
    if verdict is None:
        return bare
    c = from_json(Comparison, verdict["comparison"])
    measured = c.n > 0
    candidate = _applied(book, tested)
    versions = (book.version, candidate.version) if book and candidate else ("", "")
    contrast = contrast_of(c) if measured else None
    scored = verdict.get("objective", "score") == "score"
    open_ = verdict["decision"] == "inconclusive" and contrast is not None
    return Turn(
        box.iteration,
        train,
        bare.excluded,
        bare.errors,
        mean_of(c.baseline, c.n) if measured and scored else None,
        mean_of(c.candidate, c.n) if measured and scored else None,
        contrast,
        how.decision,
        how.words,
        verdict["alpha"],
        verdict.get("objective", "score"),
        tasks_needed(contrast, len(c.fixed) + len(c.broken), verdict["alpha"])
        if open_ and contrast
        else None,
        tuple(verdict.get("guards", ())),
        tuple(verdict.get("looks", ())),
        tuple(verdict.get("trials", ())),
        await _gate_shift(records, box.iteration, c, versions) if measured else None,
        how.approver,
        source,
    )


async def _gate_shift(records: Records, iteration: int, c: Comparison, versions: tuple[str, str]) -> Shift:
    risen = await moved(records, c.fixed, *versions)
    fallen = await moved(records, c.broken, *versions)
    known = [s for m in (*risen, *fallen) for s in (m.before, m.after) if s is not None]
    # scores between 0 and 1 among those read prove graded scores; 0 and 1 alone prove nothing of the rest
    graded = False if any(s not in {0.0, 1.0} for s in known) else None
    rose, fell = len(c.fixed), len(c.broken)
    return Shift(f"iteration {iteration}", c.n, rose, fell, c.n - rose - fell, graded, None, risen, fallen)


def _applied(book: RuleBook | None, rows: Iterable[Mapping[str, Any]]) -> RuleBook | None:
    if book is None:
        return None
    try:
        return apply(book, [Edit.from_json(row) for row in rows])
    except EditError:
        return None


def contrast_of(c: Comparison) -> Contrast:
    """A comparison without the names of its tasks."""
    return Contrast(
        c.n, c.estimate, c.low, c.high, c.level, c.p_value, c.baseline, c.candidate, dict(c.excluded)
    )
