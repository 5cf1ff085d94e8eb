"""Tasks, splits, task files; bad ones are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_truce.errors import TaskError
from langgraph_truce.task import Splits, Task, read_tasks, write_tasks

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v, max_size=3), max_leaves=5
)
mappings = st.dictionaries(st.text(min_size=1, max_size=5), json_values, max_size=3)
tasks = st.builds(Task, st.text(min_size=1, max_size=8), mappings.filter(bool), mappings, mappings)


def task(n: int) -> Task:
    return Task.of({"inputs": {"question": f"q{n}"}, "reference_outputs": {"answer": n}})


@given(tasks)
def test_a_task_comes_back_from_json_as_it_was(one: Task) -> None:
    assert Task.of(json.loads(json.dumps(one.to_json()))) == one


def test_a_file_reads_back_what_was_written(tmp_path: Path) -> None:
    many = tuple(task(n) for n in range(5))
    write_tasks(many, tmp_path / "t.jsonl")

    assert read_tasks(tmp_path / "t.jsonl") == many


def test_csv_columns_become_inputs_and_reference(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("question,answer\nwhat?,42\n")

    (one,) = read_tasks(tmp_path / "t.csv", inputs=["question"], outputs=["answer"])

    assert (one.inputs, one.reference_outputs) == ({"question": "what?"}, {"answer": "42"})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"question": "x"}', r"t.jsonl:1: the row has no 'inputs'; name the columns .*question"),
        ('{"inputs": {}}', r"t.jsonl:1: a task needs 'inputs', a non-empty mapping, got \{\}"),
        ('{"inputs": "x"}', r"t.jsonl:1: a task needs 'inputs'"),
        ('{"inputs": {"a": 1}, "outputs": 3}', r"'reference_outputs' must be a mapping, got 3"),
        ("[1]", r"t.jsonl:1: a task is a JSON object, got list"),
        ('{"inputs"', r"t.jsonl:1: not a JSON object"),
        ("", r"t.jsonl: the file holds no task"),
        ('{"inputs": {"a": 1}}\n{"inputs": {"a": 1}}', r"task id '\w+' is used twice"),
    ],
)
def test_a_broken_task_file_names_the_place(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "t.jsonl").write_text(content)

    with pytest.raises(TaskError, match=says):
        read_tasks(tmp_path / "t.jsonl")


def test_a_missing_file_column_or_ending_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("q\nx\n")
    (tmp_path / "t.txt").write_text("x")

    with pytest.raises(TaskError, match=r"none.jsonl: no such task file"):
        read_tasks(tmp_path / "none.jsonl")
    with pytest.raises(TaskError, match=r"t.csv:2: no column 'question'; there are: q"):
        read_tasks(tmp_path / "t.csv", inputs=["question"])
    with pytest.raises(TaskError, match=r"cannot read '.txt'"):
        read_tasks(tmp_path / "t.txt")


def test_splits_must_be_disjoint_by_content_and_not_empty() -> None:
    twin = Task("other-id", {"question": "q1"})

    with pytest.raises(TaskError, match=r"'other-id' of test has the same inputs as '\w+' of train"):
        Splits([task(1)], [task(2)], [twin])
    with pytest.raises(TaskError, match="the validation split is empty"):
        Splits([task(1)], [], [task(2)])
    with pytest.raises(TaskError, match="stands in train and in test; ids must be unique"):
        Splits([Task("a", {"q": 1})], [task(2)], [Task("a", {"q": 2})])
