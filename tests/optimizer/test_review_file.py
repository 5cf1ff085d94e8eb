"""`approve="file"` and `"ask"`: what is asked survives any text, and what is answered wrongly is named with its place."""

from __future__ import annotations

import asyncio
import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from ruamel.yaml import YAML

from langgraph_truce.errors import ReviewPending, UserMistake
from langgraph_truce.optimizer import Run, optimize
from langgraph_truce.optimizer.proposal import changed
from langgraph_truce.optimizer.review_ask import Asking
from langgraph_truce.optimizer.review_file import LARGEST, read, written
from tests.optimizer.conftest import score

SHOUT = "SHOUT every word."
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


def proposal(*texts: str, op: str = "ADD", said: str = "q0") -> dict[str, Any]:
    edits = [
        {
            "id": f"e1.{n}",
            "op": op,
            "agent": "solver",
            "rule": "r2",
            "before": "" if op == "ADD" else text,
            "after": "" if op == "DELETE" else text,
            "diff": changed(op, "" if op == "ADD" else text, "" if op == "DELETE" else text),
            "reason": "it was too quiet",
            "support": 0.5,
            "tasks": ["t0"],
            "evidence": [{"step": "v/t0/0/solver#1.0", "said": said}],
        }
        for n, text in enumerate(texts, 1)
    ]
    figures = {"baseline": 0.0, "candidate": 1.0, "n": 8, "estimate": 1.0, "low": 0.5, "high": 1.0}
    comparison = {**figures, "p_value": 0.004, "alpha": 0.05, "fixed": ["t1"], "broken": []}
    return {
        "iteration": 1,
        "words": "accept",
        "comparison": comparison,
        "guards": [],
        "edits": edits,
        "problem": "",
    }


@given(TEXTS, TEXTS)
@settings(max_examples=150, deadline=None)
def test_any_text_survives_the_file(text: str, said: str) -> None:
    found = YAML().load(written(proposal(text, said=said)))

    assert set(found) == {"by", "edits"}
    assert found["edits"]["e1.1"]["text"] == text
    assert found["edits"]["e1.1"]["answer"] is None


def test_what_is_easy_to_read_is_easy_to_edit() -> None:
    asked = written(proposal("First line.\n  - second: {x}\nthird"))

    assert "text: |-\n" in asked
    assert "# + First line." in asked
    assert "said: q0" in asked


def run(toy: Any, folder: Path) -> Any:
    method = toy.method(SHOUT)
    return optimize(toy.system(), toy.splits(12), score, method=method, run=Run(folder, approve="file"))


def test_the_same_command_goes_on_once_the_file_is_edited(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(ReviewPending, match=r"iteration-001.yaml and give the same command again"):
        run(toy, tmp_path)
    file = tmp_path / "review/iteration-001.yaml"
    with pytest.raises(ReviewPending, match=r"no answer yet to e1\.1"):
        run(toy, tmp_path)
    asked = file.read_text(encoding="utf-8")
    wish = asked.replace("answer:\n", "answer: reword\n").replace(SHOUT, "SHOUT, please.")
    file.write_text(wish.replace('by: ""', "by: ann"), encoding="utf-8")

    result = run(toy, tmp_path)

    assert result.rules.render("solver").endswith("- SHOUT, please.\n")
    assert result.ledger[-1]["approver"] == "ann"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("answer:\n", "answer: yes please\n", r"f.yaml:\d+: the answer is accept, .* got 'yes please'"),
        (
            "answer:\n",
            "answer: reword\n",
            r"f.yaml:\d+: edit e1.1 cannot be reworded like this: change `text`",
        ),
        ("e1.1:", "e9.9:", r"f.yaml:\d+: no edit e9.9 waits; there are: e1.1"),
        ("answer:\n", "answr: accept\n", r"f.yaml:\d+: edit e1.1 has answer, text and comment, got answr"),
        ("answer:\n", "answer: accept\n    text: [\n", r"f.yaml:\d+: not YAML"),
        ("answer:\n", "answer: 7\n", r"f.yaml:\d+: answer of edit e1.1 is a text, got 7"),
        ("edits:", "edit:", r"f.yaml:1: `edits:`"),
    ],
)
def test_mistakes_in_the_file_are_named_with_their_line(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(written(proposal(SHOUT)).replace(old, new), encoding="utf-8")

    with pytest.raises(UserMistake, match=says):
        read(file, proposal(SHOUT))


def asked(proposed: Any, *typed: str) -> tuple[Any, str]:
    """What a person answers who types these lines, and what they saw."""
    lines = list(typed)

    async def next_line() -> str:
        return f"{lines.pop(0)}\n" if lines else ""

    console = Console(file=io.StringIO(), width=100)
    answers = asyncio.run(Asking(console, next_line)(proposed))
    return answers, console.file.getvalue()  # type: ignore[attr-defined]


BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnop"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, r":1: anchors \(&\) and aliases \(\*\) are not read here"),
        ("edits:\n  e1.1: &x\n    answer: accept\n", ":2: anchors"),
        ("[" * 100_000, ":1: nested too deep"),
        ("".join(" " * n + "a:\n" for n in range(900)), ":21: nested too deep"),
        (f"by: {'9' * 6000}\nedits:\n", ":1: not YAML: .*digits"),
        ("by: 2001-99-99\nedits:\n", ":1: not YAML: month"),
        ("by: \x00", ":1: not YAML: unacceptable character"),
        ("#" * (LARGEST + 1), ": more than 4 MiB are no review file"),
    ],
)
def test_a_hostile_file_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "iteration-001.yaml"
    file.write_text(text)
    with pytest.raises(UserMistake, match=said) as raised:
        read(file, proposal(SHOUT))
    assert len(str(raised.value)) < 500
    assert "\n" not in str(raised.value)


def test_keys_answer_edit_by_edit() -> None:
    answers, seen = asked(proposal("A", "B", "C", "D"), "a", "r", "w", "new", "words", ".", "x", "d")

    assert {name: one["answer"] for name, one in answers["edits"].items()} == {
        "e1.1": "accept",
        "e1.2": "reject",
        "e1.3": "reword",
        "e1.4": "defer",
    }
    assert answers["edits"]["e1.3"]["text"] == "new\nwords"
    assert "Not understood: 'x'" in seen
    assert "+ A" in seen
    assert "v/t0/0/solver#1.0 said: q0" in seen


def test_quitting_answers_nothing() -> None:
    assert asked(proposal("A", "B"), "a", "q")[0] is None
    assert asked(proposal("A"))[0] is None


def test_a_terminal_does_not_obey_what_an_agent_wrote() -> None:
    _, seen = asked(proposal("good \x1b[2J\u202eevil", said="\x1b]0;title\x07"), "q")

    assert "\x1b[2J" not in seen
    assert "\u202e" not in seen
    assert "␛[2J" in seen
