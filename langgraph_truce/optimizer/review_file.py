"""`approve="file"`: the question is a YAML file in the run folder; whoever answers edits it and gives the same command."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString, ScalarString

from langgraph_truce.errors import NOT_JSON, ReviewPending, UserMistake
from langgraph_truce.optimizer.proposal import asking_words, evidence_words, waiting
from langgraph_truce.optimizer.review import Answers, Proposal
from langgraph_truce.report.visible import visible

FOLDER = "review"
WIDTH = 110
LARGEST = 4 << 20
"""Bytes a review file may have."""
DEEPEST = 20
"""Blocks inside each other; an answer is in the third."""
HEAD = (
    "Edits that passed the gate and wait for you. Nothing is changed before you answer.",
    "For each edit write one of these after `answer:`",
    "  accept   as it is",
    "  reject   it is dropped, and not asked for again",
    "  reword   change `text`: your wording is tested once more before it is applied",
    "  defer    it is tested again in the next iteration, together with what comes up there",
    "Then give the same command again. A set other than all of them accepted is tested once more.",
    "",
)


@dataclass(frozen=True, slots=True)
class Filed:
    """Asks in a file."""

    folder: Path
    """The run folder."""

    async def __call__(self, proposal: Proposal) -> Answers | None:
        """The answers that stand in the file, which is written where it is not there.

        Raises:
            ReviewPending: it is new, or edits in it have no answer; the message names the file.
            UserMistake: something in it is no answer: `FILE:LINE: what`.
        """
        file = self.folder / FOLDER / f"iteration-{proposal['iteration']:03d}.yaml"
        if proposal["problem"]:
            raise UserMistake(f"{file}: {proposal['problem']}")
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh = file.with_suffix(".tmp")
            fresh.write_text(written(proposal), encoding="utf-8")
            fresh.replace(file)
            raise ReviewPending(f"{waiting(proposal)}: edit {file} and give the same command again", proposal)
        return read(file, proposal)


def written(proposal: Proposal) -> str:
    """The question as YAML; any text of a rule survives it."""
    edits = CommentedMap()
    for edit in proposal["edits"]:
        one = CommentedMap(answer=None)
        if edit["op"] != "DELETE":
            one["text"] = _scalar(edit["after"])
        one["comment"] = DoubleQuotedScalarString("")
        edits[edit["id"]] = one
        edits.yaml_set_comment_before_after_key(edit["id"], before=_comment(_words(edit)), indent=2)
        one.yaml_set_comment_before_after_key("answer", before="accept, reject, reword or defer", indent=4)
        if "text" in one:
            one.yaml_set_comment_before_after_key("text", before="read for the answer reword only", indent=4)
        one.yaml_set_comment_before_after_key("comment", before="why; it is kept in the ledger", indent=4)
    whole = CommentedMap(by=DoubleQuotedScalarString(""), edits=edits)
    whole.yaml_set_start_comment(_comment("\n".join([*HEAD, *evidence_words(proposal)])))
    whole.yaml_set_comment_before_after_key("by", before="Your name, for the ledger.")
    out = io.StringIO()
    _yaml().dump(whole, out)
    return out.getvalue()


def read(file: Path, proposal: Proposal) -> Answers:
    """The answers in a file.

    Raises:
        ReviewPending: an edit has no answer yet.
        UserMistake: `FILE:LINE: what is wrong`.
    """
    try:
        text = _bounded(file)
        _plain(file, text)
        found = _yaml().load(text)
    except (YAMLError, *NOT_JSON) as e:  # a date or a number that is none, bytes that are no text
        mark = e.problem_mark if isinstance(e, MarkedYAMLError) else None
        said = (e.problem if isinstance(e, MarkedYAMLError) else None) or str(e)
        raise UserMistake(f"{_at(file, mark.line if mark else 0)}: not YAML: {' '.join(said.split())}") from e
    edits = found.get("edits") if isinstance(found, CommentedMap) else None
    if not isinstance(edits, CommentedMap):
        raise UserMistake(f"{file}:1: `edits:` with one block for each edit is expected")
    known = {e["id"]: e for e in proposal["edits"]}
    answers: dict[str, dict[str, str]] = {}
    for name, one in edits.items():
        where = _at(file, edits.lc.key(name)[0])
        if name not in known:
            raise UserMistake(f"{where}: no edit {name} waits; there are: {', '.join(known)}")
        if not isinstance(one, CommentedMap):
            raise UserMistake(f"{where}: edit {name} needs `answer:` below it")
        answers[name] = _answer(file, name, one, known[name])
    if missing := [n for n in known if not answers.get(n, {}).get("answer")]:
        raise ReviewPending(
            f"{file}: no answer yet to {', '.join(missing)}; write it there and give the same command again",
            proposal,
        )
    by = str(found.get("by") or "").strip()
    return {"edits": answers, **({"by": by} if by else {})}


def _bounded(file: Path) -> str:
    with file.open("rb") as kept:
        data = kept.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise UserMistake(
            f"{file}: more than {LARGEST >> 20} MiB are no review file; remove it and give the same command again"
        )
    return data.decode("utf-8")


def _plain(file: Path, text: str) -> None:
    """Refuse what an answer does not need, and what a small file can grow large by: anchors, aliases, deep nesting."""
    depth = 0
    for event in _yaml().parse(text):
        line = event.start_mark.line
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
            raise UserMistake(
                f"{_at(file, line)}: anchors (&) and aliases (*) are not read here; write the words out, in quotes where "
                "they begin with & or *"
            )
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            raise UserMistake(
                f"{_at(file, line)}: nested too deep; `edits:` with one block for each edit is expected"
            )


def _answer(file: Path, name: str, one: CommentedMap, edit: Mapping[str, Any]) -> dict[str, str]:
    def where(key: str) -> str:
        return _at(file, one.lc.key(key)[0])

    for key in one:
        if key not in {"answer", "text", "comment"}:
            raise UserMistake(f"{where(key)}: edit {name} has answer, text and comment, got {key}")
        if not isinstance(one[key] or "", str):
            raise UserMistake(
                f"{where(key)}: {key} of edit {name} is a text, got {one[key]!r}; put it in quotes"
            )
    given = {key: str(one[key] or "") for key in one}
    answer = given.get("answer", "").strip()
    if answer and answer not in {"accept", "reject", "reword", "defer"}:
        raise UserMistake(f"{where('answer')}: the answer is accept, reject, reword or defer, got {answer!r}")
    text = given.get("text", "")
    if answer == "reword" and (edit["op"] == "DELETE" or not text.strip() or text == edit["after"]):
        why = (
            "a rule that goes has no wording"
            if edit["op"] == "DELETE"
            else "change `text` to the new wording"
        )
        raise UserMistake(f"{where('answer')}: edit {name} cannot be reworded like this: {why}")
    if answer and answer != "reword" and text not in ("", edit["after"]):
        raise UserMistake(
            f"{where('text')}: the text of {name} differs but the answer is {answer}; answer reword"
        )
    kept = {"answer": answer, **({"text": text} if answer == "reword" else {})}
    return {**kept, "comment": given["comment"]} if given.get("comment") else kept


def _scalar(text: str) -> ScalarString:
    """A block where people can read and edit it as it is, and comes back as it went in; else in quotes."""
    lines = text.split("\n")
    plain = visible(text) == text and "\t" not in text and text.isprintable() is ("\n" not in text)
    tidy = all(line == line.rstrip() for line in lines)
    if len(lines) > 1 and plain and tidy and lines[0].strip() and not lines[0].startswith(" ") and lines[-1]:
        block: ScalarString = LiteralScalarString(text)
        return block
    quoted: ScalarString = DoubleQuotedScalarString(text)
    return quoted


def _words(edit: Mapping[str, Any]) -> str:
    head = f"{edit['op']} {edit['agent']} {edit['rule']}".rstrip()
    return "\n".join([head, edit["diff"], *asking_words(edit)])


def _comment(text: str) -> str:
    """Lines that a comment may hold, whatever an agent wrote."""
    out: list[str] = []
    for line in visible(text).split("\n"):
        out += textwrap.wrap(line, WIDTH, replace_whitespace=False, drop_whitespace=False) or [""]
    return "\n".join(line.rstrip() for line in out)


def _at(file: Path, line: int) -> str:
    return f"{file}:{line + 1}"


def _yaml() -> YAML:
    yaml = YAML()  # round trip: no type but texts, numbers, lists and maps, and every value knows its line
    yaml.width = 10**6
    yaml.allow_unicode = True
    return yaml
