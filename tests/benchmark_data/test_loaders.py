"""Loaders of benchmarks: shipped and official files become the same tasks, and what is broken is named with its place."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_truce.benchmarks import aqua, gpqa, medmcqa, mmlu
from langgraph_truce.benchmarks.multiple_choice import DATA, answers, ceiling
from langgraph_truce.errors import TaskError, UnknownNameError
from langgraph_truce.task import Task, read_tasks, write_tasks

Row = dict[str, Any]


def lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def table(path: Path, rows: Iterable[Sequence[str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def word_problem(number: int = 0, correct: str = "B", **other: Any) -> Row:
    options = [f"A){number}", "B) 5(A) + (B)", "C)(C)", "D)A)", "E)None of these"]
    return {
        "question": f"How far {number}?",
        "options": options,
        "rationale": "Because.",
        "correct": correct,
    } | other


def exam(number: int = 0, cop: Any = 2, **other: Any) -> Row:
    texts = {"opa": "zinc", "opb": "Vitamin (A)", "opc": "iron", "opd": "All"}
    row: Row = {"id": f"u{number}", "question": f"Deficiency {number}?", **texts, "cop": cop}
    return row | {"choice_type": "single", "subject_name": "Medicine", "exp": "Because."} | other


GPQA_HEADER = [
    "Record ID",
    "Question",
    "Correct Answer",
    "Incorrect Answer 1",
    "Incorrect Answer 2",
    "Incorrect Answer 3",
    "High-level domain",
    "Canary String",
]


def gpqa_rows(n: int, right: str = "right") -> list[list[str]]:
    wrong = ["two\nlines", "with (A)", "wrong"]
    return [[f"rec{i}", f"Which one, {i}?", right, *wrong, "Physics", "canary"] for i in range(n)]


def test_aqua_loses_the_marks_of_its_options_and_nothing_else(tmp_path: Path) -> None:
    (task,) = aqua.read(lines(tmp_path / "test.json", [word_problem(7)]))

    assert task == Task(
        "aqua-test-0",
        {
            "question": "How far 7?",
            "options": {"A": "7", "B": "5(A) + (B)", "C": "(C)", "D": "A)", "E": "None of these"},
        },
        {"answer": "B"},
        {"benchmark": "aqua"},
    )


def test_aqua_official_and_shipped_rows_are_the_same_tasks(tmp_path: Path) -> None:
    rows = [word_problem(i, "ABCDE"[i]) for i in range(5)]
    lines(tmp_path / "official" / "dev.json", rows)
    lines(tmp_path / "shipped" / "dev.jsonl", [r | {"id": f"aqua-dev-{i}"} for i, r in enumerate(rows)])

    assert aqua.load(tmp_path / "official", "dev") == aqua.load(tmp_path / "shipped", "dev")


def test_aqua_with_four_options_drops_questions_whose_answer_is_the_fifth(tmp_path: Path) -> None:
    rows = [word_problem(i, letter) for i, letter in enumerate("ABEDEC")]
    lines(tmp_path / "test.json", rows)
    five, four = aqua.load(tmp_path), aqua.load(tmp_path, four_options=True)

    assert answers(five) == {"A": 1, "B": 1, "C": 1, "D": 1, "E": 2}
    assert (ceiling(five), ceiling(five, "ABCDE"), ceiling(four)) == (4 / 6, 1.0, 1.0)
    assert [t.id for t in four] == ["aqua-test-0", "aqua-test-1", "aqua-test-3", "aqua-test-5"]
    assert {tuple(t.inputs["options"]) for t in four} == {("A", "B", "C", "D")}


def test_mmlu_official_and_shipped_rows_are_the_same_tasks(tmp_path: Path) -> None:
    rows = [(f'Which "x", {i}?', "True, True", "A, (B)", "3", "line\nbreak", "ABCD"[i % 4]) for i in range(6)]
    subjects = {"anatomy": rows[:2], "high_school_physics": rows[2:]}
    for subject, part in subjects.items():
        table(tmp_path / "official" / "test" / f"{subject}_test.csv", part)
        table(tmp_path / "flat" / f"{subject}_test.csv", part)
    shipped = [
        {
            "id": f"{subject}/test/{i}",
            "subject": subject,
            "question": row[0],
            "choices": list(row[1:5]),
            "answer": row[5],
        }
        for subject, part in subjects.items()
        for i, row in enumerate(part)
    ]
    lines(tmp_path / "shipped" / "test_20pct.jsonl", shipped)

    tasks = mmlu.load(tmp_path / "shipped")
    assert mmlu.load(tmp_path / "official") == mmlu.load(tmp_path / "flat") == tasks
    assert tasks[0].inputs["options"]["B"] == "A, (B)"
    assert [t.id for t in mmlu.load(tmp_path / "official", subjects=["anatomy"])] == [
        "anatomy/test/0",
        "anatomy/test/1",
    ]
    with pytest.raises(
        UnknownNameError, match=r"no subject 'biology'; there are: anatomy, high_school_physics"
    ):
        mmlu.load(tmp_path / "official", subjects=["biology"])


def test_medmcqa_official_and_shipped_rows_are_the_same_questions(tmp_path: Path) -> None:
    official = [exam(i, i + 1) for i in range(4)]
    shipped = [
        {
            "id": r["id"],
            "question": r["question"],
            "choices": [r[k] for k in ("opa", "opb", "opc", "opd")],
            "answer": "ABCD"[i],
        }
        for i, r in enumerate(official)
    ]
    lines(tmp_path / "o" / "dev.json", [*official, exam(9, 1, choice_type="multi")])
    lines(tmp_path / "s" / "dev_single_2816.jsonl", shipped)

    ours, theirs = medmcqa.load(tmp_path / "o"), medmcqa.load(tmp_path / "s")
    assert [(t.id, t.inputs, t.reference_outputs) for t in ours] == [
        (t.id, t.inputs, t.reference_outputs) for t in theirs
    ]
    assert ours[0].metadata == {"benchmark": "medmcqa", "subject": "Medicine"}
    assert len(medmcqa.load(tmp_path / "o", single=False)) == 5


def test_medmcqa_counts_options_from_one_or_from_zero(tmp_path: Path) -> None:
    path = lines(tmp_path / "dev.json", [exam(i, i) for i in range(4)])

    assert answers(medmcqa.read(path, first=0)) == {"A": 1, "B": 1, "C": 1, "D": 1}
    with pytest.raises(TaskError, match=r"dev.json:1: 'cop' is 1 to 4, got 0; .*first=0"):
        medmcqa.read(path)


@pytest.mark.parametrize("cop", [None, "", -1])
def test_medmcqa_has_no_answers_in_its_test_split(tmp_path: Path, cop: Any) -> None:
    with pytest.raises(TaskError, match=r"the test split has none, take dev"):
        medmcqa.read(lines(tmp_path / "test.json", [exam(0, cop)]))


@given(st.integers(0, 1000))
def test_gpqa_keeps_the_right_option_wherever_it_is_shuffled_to(seed: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = table(Path(folder) / "gpqa_diamond.csv", [GPQA_HEADER, *gpqa_rows(3)])
        for task in gpqa.load(path, seed=seed):
            options = task.inputs["options"]
            assert options[task.reference_outputs["answer"]] == "right"
            assert sorted(options.values()) == ["right", "two\nlines", "with (A)", "wrong"]


def test_gpqa_shuffles_each_question_by_its_own_id(tmp_path: Path) -> None:
    whole = gpqa.load(table(tmp_path / "all.csv", [GPQA_HEADER, *gpqa_rows(40)]), seed=3)
    last = gpqa.load(table(tmp_path / "last.csv", [GPQA_HEADER, *gpqa_rows(40)[::-1][:5]]), seed=3)

    assert set(answers(whole)) == set("ABCD")
    assert {t.id: t for t in last}.items() <= {t.id: t for t in whole}.items()
    other = gpqa.load(tmp_path / "all.csv", seed=4)
    assert [t.reference_outputs for t in whole] != [t.reference_outputs for t in other]


def test_gpqa_keeps_no_canary_and_gives_rows_without_id_one_of_their_content(tmp_path: Path) -> None:
    rows = [row[1:] for row in gpqa_rows(2)]
    tasks = gpqa.load(table(tmp_path / "g.csv", [GPQA_HEADER[1:], *rows]))

    assert all("canary" not in json.dumps(t.to_json()) for t in tasks)
    assert len({t.id for t in tasks}) == 2
    assert [t.id for t in gpqa.load(tmp_path / "g.csv", seed=9)] == [t.id for t in tasks]


def test_questions_are_task_files_too(tmp_path: Path) -> None:
    tasks = aqua.read(lines(tmp_path / "test.json", [word_problem(i) for i in range(3)]))
    write_tasks(tasks, tmp_path / "t.jsonl")

    assert read_tasks(tmp_path / "t.jsonl") == tasks


AQUA, MED = "a.json", "m.json"
BROKEN: list[tuple[Any, str, list[Row], str]] = [
    (
        aqua.read,
        AQUA,
        [word_problem(0, "F")],
        r"a.json:1: the answer is one of the letters A, B, C, D, E, got 'F'",
    ),
    (aqua.read, AQUA, [word_problem(), word_problem(1, "")], r"a.json:2: the answer is one of"),
    (aqua.read, AQUA, [word_problem() | {"correct": 2}], r"got 2"),
    (aqua.read, AQUA, [word_problem(options=["A)1", "B)2"])], r"has 5 options"),
    (
        aqua.read,
        AQUA,
        [word_problem(options=["A)1", "B)2", "D)3", "C)4", "E)5"])],
        r"option C begins with 'C\)'",
    ),
    (aqua.read, AQUA, [word_problem(options=["A)1", "B)2", "C)3", "D)4", 5])], r"option E begins with"),
    (aqua.read, AQUA, [word_problem(question=" ")], r"a question is a text, got ' '"),
    (
        aqua.read,
        AQUA,
        [{"question": "q", "answer": "A"}],
        r"no column 'options'; there are: question, answer",
    ),
    (aqua.read, AQUA, [word_problem(id="x"), word_problem(1, id="x")], r"question id 'x' is used twice"),
    (aqua.read, AQUA, [], r"there is no question in it"),
    (medmcqa.read, MED, [exam(), exam()], r"question id 'u0' is used twice"),
    (medmcqa.read, MED, [exam(cop=5)], r"m.json:1: 'cop' is 1 to 4, got 5"),
    (medmcqa.read, MED, [exam(cop="x")], r"'cop' is 1 to 4, got 'x'"),
    (medmcqa.read, MED, [{"id": "a", "question": "q", "opa": "x", "cop": 1}], r"no column 'opb'"),
    (medmcqa.read, MED, [exam(opc=None)], r"an option is a text, got None"),
    (
        medmcqa.read,
        MED,
        [{"id": "a", "question": "q", "choices": ["x"], "answer": "A"}],
        r"has 2 to 10 options",
    ),
]


@pytest.mark.parametrize(("read", "name", "rows", "message"), BROKEN)
def test_a_broken_row_is_named_with_its_place(
    tmp_path: Path, read: Any, name: str, rows: list[Row], message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        read(lines(tmp_path / name, rows))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["q", "1", "2", "3", "4", "E"], r"row 1: the answer is one of the letters A, B, C, D, got 'E'"),
        (["q", "1", "2", "3", "A"], r"row 1: a row has a question, four options and a letter, got 5 columns"),
        (["", "1", "2", "3", "4", "A"], r"row 1: a question is a text"),
    ],
)
def test_a_broken_table_is_named_with_its_row(tmp_path: Path, row: list[str], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        mmlu.read_table(table(tmp_path / "anatomy_test.csv", [row]))


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"question": \n', encoding="utf-8")
    (tmp_path / "l.json").write_text("[1]\n", encoding="utf-8")
    (tmp_path / "latin.csv").write_bytes("Übung,1,2,3,4,A\n".encode("latin-1"))
    (tmp_path / "big_test.csv").write_text(f'"{"x" * 200_000}', encoding="utf-8")
    table(tmp_path / "g.csv", [["Question", "Answer"], ["q", "a"]])

    for read, path, message in [
        (aqua.read, "x.json", "x.json:1: not a JSON object"),
        (aqua.read, "l.json", "a question is a JSON object, got list"),
        (aqua.read, "no.json", "no such file; there are: big_test.csv"),
        (gpqa.load, "latin.csv", "not UTF-8"),
        (gpqa.load, "g.csv", "row 2: no column 'Correct Answer'; there are: Question, Answer"),
        (mmlu.read_table, "big_test.csv", "not a CSV file"),
        (mmlu.read_table, "g.csv", "is called SUBJECT_SPLIT.csv"),
    ]:
        with pytest.raises(TaskError, match=message):
            read(tmp_path / path)


@pytest.mark.parametrize("module", [aqua, mmlu, medmcqa])
def test_a_missing_folder_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any
) -> None:
    name = module.__name__.rpartition(".")[2]
    monkeypatch.delenv(DATA, raising=False)
    with pytest.raises(TaskError, match=rf"TRUCE_DATA is not set; set it to the folder that holds {name}/"):
        module.load()
    monkeypatch.setenv(DATA, str(tmp_path))
    with pytest.raises(TaskError, match=rf"{name}: no such folder"):
        module.load()
    (tmp_path / name).mkdir()
    with pytest.raises(TaskError, match=r"no dev\.json"):
        module.load(split="dev")


def test_the_ceiling_of_nothing_is_not_known() -> None:
    with pytest.raises(TaskError, match="at least one"):
        ceiling([])
