r"""Rule books as Markdown files: one file per agent (`solver.md`, `team/solver.md`, `solver@2.md`).

A file's body is the prompt itself, readable where Markdown is shown; ids and attributes of the rules are HTML
comments (grammar in `marks`). The prompt is the file's text without these comments and without the one line break
that ends the file (`\n` or `\r\n`); a file that ends without one is taken whole.

A file without any comment of ours is a plain prompt: it is parsed, and its rules get the ids r1, r2, ... In a file
with comments exactly the marked texts are rules: a bullet without an id is fixed text.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from langgraph_truce.errors import RuleFileError
from langgraph_truce.rules.layout import Span, dedent, fold, unfold
from langgraph_truce.rules.marks import (
    Mark,
    decode,
    escape,
    indent_of,
    indent_value,
    layout_end,
    start_mark,
    without_final_break,
)
from langgraph_truce.rules.parse import parse
from langgraph_truce.rules.rule import AgentRules, Rule, RuleBook, RuleSlot

_SUFFIX = ".md"
LARGEST = 1 << 20
"""Bytes a rule file may have."""


def read_rules(path: str | Path) -> RuleBook:
    """The rule book in a folder of `.md` files (hidden ones left out), or of one file, whose agent is its name.

    Raises:
        RuleFileError: no such folder, none of these files in it, or one of them cannot be read; the message has
            file and line.
    """
    path = Path(path)
    if path.is_file():
        name = path.name.removesuffix(_SUFFIX)
        return RuleBook({name: _read(path, name)})
    if not path.is_dir():
        raise RuleFileError(f"{path}: no such folder or file; rules are a folder with one AGENT.md per agent")
    files = {_agent(path, file): file for file in _files(path)}
    if not files:
        raise RuleFileError(f"{path}: no rule file in this folder; it needs one AGENT.md per agent")
    return RuleBook({agent: _read(files[agent], agent) for agent in sorted(files)})


def write_rules(book: RuleBook, folder: str | Path) -> tuple[Path, ...]:
    """Write one file per agent, each at once or not at all, and return their paths; `read_rules` gives `book` back.

    Raises:
        RuleFileError: the folder holds rule files of agents that are not in the book (they would be read as part
            of it; nothing is removed for you), an agent's name cannot be a file name, or a rule id is none.
            Nothing is written then.
    """
    folder = Path(folder)
    if not book.agents:
        raise RuleFileError(f"{folder}: the rule book has no agents, so there is nothing to write")
    texts = {
        folder / f"{_checked(agent)}{_SUFFIX}": dump(book.agents[agent]) for agent in sorted(book.agents)
    }
    strangers = sorted({_agent(folder, file) for file in _files(folder)} - book.agents.keys())
    if strangers:
        raise RuleFileError(
            f"{folder}: there are rule files of agents that are not in the book ({', '.join(strangers)}); "
            "remove them or write to another folder"
        )
    for path in texts:
        _inside(folder, path.parent)
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        draft.unlink(missing_ok=True)  # a link that somebody laid there is not followed
        with draft.open("xb") as file:
            file.write(text.encode("utf-8"))
        os.replace(draft, path)  # noqa: PTH105 - atomic also where the target exists; replaces a link, follows none
    return tuple(texts)


def dump(rules: AgentRules) -> str:
    """The text of an agent's rule file."""
    text, spans = unfold(rules)
    numbers = [_number(rules.agent, span.slot.rule.id) for span in spans]
    highest = max(numbers, default=0)
    if len(set(numbers)) < len(numbers) or rules.next_id <= highest:
        raise RuleFileError(
            f"agent {rules.agent!r}: rule ids must be unique and below next_id {rules.next_id}"
        )
    plain = not spans and parse(rules.agent, text) == rules
    pieces = []
    at = 0
    for i, span in enumerate(spans):
        stop = spans[i + 1].start if i + 1 < len(spans) else len(text)
        explicit = layout_end(text, span.start, stop) != span.end
        pieces += [escape(text[at : span.start]), start_mark(span.slot.rule.id, _attributes(span.slot))]
        pieces += [escape(text[span.start : span.end], last=span.end == len(text) and not explicit)]
        pieces += [f"<!--/{span.slot.rule.id}-->"] if explicit else []
        at = span.end
    pieces.append(escape(text[at:], last=True))
    if not plain and (rules.next_id != highest + 1 or not spans):
        pieces.append(f"\n<!--next={rules.next_id}-->")
    return "".join(pieces) + "\n"


def load(agent: str, source: str, name: str) -> AgentRules:
    """An agent's rules from the text of a rule file; `name` stands for the file in messages.

    Raises:
        RuleFileError: the comments do not fit together; the message has file and line.
    """
    text, marks = decode(without_final_break(source), name)
    starts = _starts(marks, name)
    following = [mark for mark in marks if mark.kind == "next"]
    if following:
        text = _checked_next(text, following, starts, name)
    elif not starts:
        return parse(agent, text)
    spans = []
    for i, (mark, given) in enumerate(starts):
        stop = starts[i + 1][0].at if i + 1 < len(starts) else len(text)
        end = layout_end(text, mark.at, stop) if given is None else min(given, len(text))
        spans.append(Span(mark.at, end, _slot(mark, text[mark.at : end])))
    highest = max((int(mark.rule[1:]) for mark, _ in starts), default=0)
    return fold(agent, text, spans, following[0].number if following else highest + 1)


def _starts(marks: Iterable[Mark], name: str) -> list[tuple[Mark, int | None]]:
    """Every start with its end where one is given."""
    out: list[tuple[Mark, int | None]] = []
    seen: set[str] = set()
    for mark in marks:
        where = f"{name}:{mark.line}"
        if mark.kind == "start":
            if mark.rule in seen:
                raise RuleFileError(
                    f"{where}: rule id {mark.rule!r} is used twice; ids must be unique in a file"
                )
            seen.add(mark.rule)
            out.append((mark, None))
        elif mark.kind == "end":
            if not out or out[-1][0].rule != mark.rule or out[-1][1] is not None:
                raise RuleFileError(
                    f"{where}: <!--/{mark.rule}--> ends no open rule; it stands behind <!--{mark.rule}--> and before "
                    "the next rule starts"
                )
            out[-1] = (out[-1][0], mark.at)
    return out


def _checked_next(text: str, following: list[Mark], starts: list[tuple[Mark, int | None]], name: str) -> str:
    """The text without the line of the `next` mark."""
    mark = following[0]
    where = f"{name}:{mark.line}"
    if len(following) > 1 or text[mark.at :].strip() or any(start.at > mark.at for start, _ in starts):
        raise RuleFileError(
            f"{where}: <!--next={mark.number}--> must stand once, on the last line of the file"
        )
    highest = max((int(start.rule[1:]) for start, _ in starts), default=0)
    if mark.number <= highest:
        raise RuleFileError(f"{where}: next={mark.number} would give an id again; it must be above {highest}")
    return text[: mark.at]


def _slot(mark: Mark, raw: str) -> RuleSlot:
    text, indent = dedent(raw)
    if "indent" in mark.attributes:
        indent = indent_of(mark.attributes["indent"])
        head, *rest = raw.split("\n")
        text = "\n".join([head, *(line.removeprefix(indent) for line in rest)])
    example = "example" in mark.attributes
    rule = Rule(
        mark.rule,
        text,
        "example" if example else "instruction",
        "protected" in mark.attributes,
        mark.attributes.get("task", ""),
    )
    slot = RuleSlot(rule, indent)
    # a hand-written indent that the lines do not have: the text as it stands wins
    return (
        slot if slot.render() == raw else RuleSlot(Rule(rule.id, raw, rule.kind, rule.protected, rule.task))
    )


def _attributes(slot: RuleSlot) -> dict[str, str]:
    out: dict[str, str] = {}
    if slot.rule.protected:
        out["protected"] = ""
    if slot.rule.kind == "example":
        out["example"] = ""
        if slot.rule.task:
            out["task"] = slot.rule.task
    if dedent(slot.render()) != (slot.rule.text, slot.indent):
        out["indent"] = indent_value(slot.indent)
    return out


def _number(agent: str, rule_id: str) -> int:
    digits = rule_id[1:]
    if not (rule_id.startswith("r") and digits.isascii() and digits.isdigit() and not digits.startswith("0")):
        raise RuleFileError(f"agent {agent!r}: {rule_id!r} is no rule id; ids are r1, r2, ...")
    return int(digits)


def _files(folder: Path) -> list[Path]:
    found = (file for file in folder.rglob(f"*{_SUFFIX}") if file.is_file())
    files = sorted(f for f in found if not any(part.startswith(".") for part in f.relative_to(folder).parts))
    for file in files:
        _inside(folder, file)
    return files


def _agent(folder: Path, file: Path) -> str:
    return file.relative_to(folder).as_posix().removesuffix(_SUFFIX)


def _checked(agent: str) -> str:
    segments = agent.split("/")
    bad = any(not s or s.startswith(".") or "\\" in s or "\x00" in s for s in segments)
    if bad or agent.encode("utf-8", "ignore").decode() != agent:
        raise RuleFileError(
            f"agent {agent!r} cannot be a file name; a role path is NAME or NAME/NAME, no dot in front"
        )
    return agent


def _inside(folder: Path, path: Path) -> None:
    """Refuse a path that a link leads out of the folder.

    Raises:
        RuleFileError: it does.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise RuleFileError(f"{path}: a link leads out of {folder}; copy what it points to into the folder")


def _read(path: Path, agent: str) -> AgentRules:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise RuleFileError(
                f"{path}: more than {LARGEST >> 10} KiB are no prompt; give a folder of rule files"
            )
        source = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RuleFileError(f"{path}: not UTF-8 (byte {error.start}); save the file as UTF-8") from error
    return load(agent, source, str(path))
