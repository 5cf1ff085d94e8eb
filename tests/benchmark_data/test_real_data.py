"""The benchmarks' own rows: every one loads, with the counts and the right answers that the notes name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from langgraph_truce.benchmarks import aqua, medmcqa, mmlu
from langgraph_truce.benchmarks.multiple_choice import answers, ceiling
from langgraph_truce.benchmarks.protocol import same_question, split
from langgraph_truce.choices import read_choice
from langgraph_truce.task import Task

SETS = {
    "aqua dev": (aqua, "dev", {"A": 69, "B": 66, "C": 43, "D": 50, "E": 26}),
    "aqua test": (aqua, "test", {"A": 63, "B": 58, "C": 46, "D": 53, "E": 34}),
    "mmlu dev": (mmlu, "dev", {"A": 67, "B": 69, "C": 71, "D": 78}),
    "mmlu test": (mmlu, "test", {"A": 654, "B": 709, "C": 709, "D": 737}),
    "medmcqa dev": (medmcqa, "dev", {"A": 950, "B": 735, "C": 617, "D": 514}),
}


@pytest.fixture(params=sorted(SETS))
def loaded(request: pytest.FixtureRequest, truce_data: Path) -> tuple[Any, tuple[Task, ...]]:
    module, part, counts = SETS[request.param]
    folder = truce_data / module.__name__.rpartition(".")[2]
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return counts, module.load(folder, part)


def test_every_row_loads_with_the_known_answers(loaded: tuple[Any, tuple[Task, ...]]) -> None:
    counts, tasks = loaded

    assert answers(tasks) == counts
    assert len({t.id for t in tasks}) == len(tasks) == sum(counts.values())


def test_the_letter_and_its_option_are_read_back(loaded: tuple[Any, tuple[Task, ...]]) -> None:
    """Whatever letters and brackets the option's text has, it does not change what its letter says."""
    _, tasks = loaded
    wrong = [
        (task.id, rule)
        for task in tasks
        for letter, text in task.inputs["options"].items()
        for rule, reply in (
            ("first_standalone", f"({letter}) {text}"),
            ("last_parenthesised", f"{text} ({letter})"),
        )
        if read_choice(reply, "".join(task.inputs["options"]), rule=rule) != letter
    ]

    assert wrong == []


def test_the_protocol_fits_every_set(loaded: tuple[Any, tuple[Task, ...]]) -> None:
    _, tasks = loaded
    splits = split(tasks)

    parts = [{same_question(t) for t in p} for p in (splits.train, splits.validation, splits.test)]
    assert [len(p) for p in parts[:2]] == [50, 50]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len({same_question(t) for t in tasks})


def test_a_rule_of_four_letters_leaves_866_thousandths_of_aqua(truce_data: Path) -> None:
    tasks = aqua.load(truce_data / "aqua")

    assert ceiling(tasks, "ABCD") == pytest.approx(0.866, abs=5e-4)
    assert len(aqua.load(truce_data / "aqua", four_options=True)) == 220
