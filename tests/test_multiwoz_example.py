"""The MultiWOZ example: dialogues become tasks, and the ready graph is optimized on them."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from langchain_core.messages import BaseMessage

from langgraph_truce import Splits, Task, evaluators, optimize, read_rules
from langgraph_truce.errors import TaskError
from langgraph_truce.methods import offline
from langgraph_truce.task import read_tasks
from langgraph_truce.testing import ScriptedModel

FOLDER = Path(__file__).parents[1] / "examples" / "multiwoz"


def part(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"multiwoz_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


convert: Any = part("convert")
app: Any = part("app")


def dialogue(name: str, food: str = "thai") -> dict[str, Any]:
    """Six turns, of which the first, the second and the last set slots of exactly one domain."""
    table = {"restaurant": {"food": food}}
    booked = {"restaurant": {"food": food, "bookpeople": "2", "bookday": "friday"}}
    hotel = {**booked, "hotel": {"stars": "4"}}
    fewer = {"restaurant": {"food": food}, "hotel": {"stars": "4"}}
    states = [table, booked, booked, {**hotel, "train": {"day": "friday"}}, fewer]
    last = {**fewer, "taxi": {"departure": "ely"}}
    turns = [
        {"turn": i, "user": f"{name} asks {i}", "system": f"reply {i}", "state": s}
        for i, s in enumerate([*states, last])
    ]
    return {"dialogue_id": name, "turns": turns}


@pytest.fixture
def small_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data" / "multiwoz"
    folder.mkdir(parents=True)
    for split, file in convert.SOURCES.items():
        rows = [dialogue(f"{split}{i}") for i in range(3)]
        (folder / file).write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    monkeypatch.setenv("TRUCE_DATA", str(tmp_path / "data"))
    return folder


def test_a_turn_is_a_task_where_one_domain_gets_slots() -> None:
    tasks = list(convert.tasks_of(dialogue("d")))

    assert [t.id for t in tasks] == ["d-0", "d-1", "d-5"]
    assert tasks[0].inputs == {"request": "d asks 0"}
    assert tasks[1].inputs == {"before": "reply 0", "request": "d asks 1"}
    assert tasks[1].reference_outputs == {
        "department": "restaurant",
        "slots": "bookday, bookpeople",
        "values": "friday, 2",
    }
    assert tasks[2].reference_outputs["department"] == "taxi"


def test_every_dialogue_gives_a_task_before_one_gives_a_second(small_data: Path) -> None:
    rows = convert.dialogues(small_data / "train_30.jsonl")
    tasks = convert.draw(rows, 4, 0, set())

    assert len({t.metadata["dialogue"] for t in tasks[:3]}) == 3
    assert tasks == convert.draw(rows, 4, 0, set())
    assert {t.id for t in tasks} != {t.id for t in convert.draw(rows, 4, 1, set())}


def test_no_inputs_are_drawn_twice() -> None:
    assert len(convert.draw([dialogue("d"), dialogue("d")], 10, 0, set())) == 3


def test_the_command_line_writes_three_files(
    small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--train", "5", "--validation", "6", "--test", "7"]

    assert convert.main([str(tmp_path / "out"), *sizes]) == 0

    splits = Splits.read(*(tmp_path / "out" / f"{name}.jsonl" for name in convert.SIZES))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (5, 6, 7)
    assert "test.jsonl: 7 tasks" in capsys.readouterr().out


def test_missing_data_are_one_sentence(
    small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert.main([str(tmp_path / "out"), "--train", "10"]) == 2
    assert "gives 9 tasks, 10 were asked for; ask for fewer: --train 9" in capsys.readouterr().err

    (small_data / "train_30.jsonl").write_text("[]\n")
    with pytest.raises(TaskError, match=r"train_30.jsonl:1: no dialogue"):
        convert.convert(convert.SIZES)
    (small_data / "train_30.jsonl").unlink()
    with pytest.raises(TaskError, match=r"no train_30.jsonl; set TRUCE_DATA"):
        convert.convert(convert.SIZES)
    monkeypatch.delenv("TRUCE_DATA")
    with pytest.raises(TaskError, match="TRUCE_DATA is not set"):
        convert.convert(convert.SIZES)
    assert not (tmp_path / "out").exists()


def test_the_real_dialogues_give_three_disjoint_splits(truce_data: Path, tmp_path: Path) -> None:
    assert json.loads((truce_data / "multiwoz" / "slots.json").read_text()) == {
        name: list(slots) for name, slots in app.SLOTS.items()
    }

    assert convert.main([str(tmp_path)]) == 0

    files = {name: read_tasks(tmp_path / f"{name}.jsonl") for name in convert.SIZES}
    assert {name: len(tasks) for name, tasks in files.items()} == convert.SIZES
    tasks = [t for split in files.values() for t in split]
    assert len({t.content for t in tasks}) == len({t.id for t in tasks}) == sum(convert.SIZES.values())
    dialogues = [{t.metadata["dialogue"] for t in split} for split in files.values()]
    assert len(set.union(*dialogues)) == sum(map(len, dialogues))
    assert len(dialogues[2]) >= 95  # of 100: nearly one dialogue a task
    for task in tasks:
        right = task.reference_outputs
        assert right["values"]
        assert set(right["slots"].split(", ")) <= set(app.SLOTS[right["department"]])


def test_every_department_has_rules() -> None:
    assert set(read_rules(FOLDER / "rules").agents) == {"manager", *app.SLOTS}


def clerk(messages: Sequence[BaseMessage]) -> str:
    """Routes by the department's name, and answers with the last worked example of its instructions."""
    instructions, request = messages[0].text, messages[-1].text
    if "subject" in instructions:
        return json.dumps({"subject": next((d for d in app.SLOTS if d in request), "train")})
    shown = [line for line in instructions.splitlines() if "Answer: {" in line]
    return shown[-1].split("Answer: ")[1] if shown else '{"slots": "name", "values": "?"}'


def test_the_app_is_optimized(tmp_path: Path) -> None:
    def tasks(split: str, n: int) -> list[Task]:
        wanted = [("hotel", "stars", "4"), ("taxi", "departure", "ely")]
        return [
            Task(f"{split}{i}", {"before": "Hello", "request": f"a {d} please, {split} {i}"}, right)
            for i in range(n)
            for d, slot, value in [wanted[i % 2]]
            for right in [{"department": d, "slots": slot, "values": value}]
        ]

    splits = Splits(tasks("train", 4), tasks("validation", 12), tasks("test", 12))
    system = app.system(ScriptedModel(replies=clerk))

    result = optimize(
        system, splits, evaluators.load("json_fields"), method=offline(), run=tmp_path / "run", seed=0
    )

    assert result.baseline.mean == pytest.approx(1 / 3)
    assert result.final.mean == 1.0
    assert {e.agent for e in result.rules.agents.values() if len(e.rules) > 2} == {"hotel", "taxi"}


def test_the_app_is_optimized_on_real_dialogues(truce_data: Path, tmp_path: Path) -> None:
    splits = convert.convert({"train": 12, "validation": 8, "test": 8})

    result = optimize(
        app.system(ScriptedModel(replies=clerk)),
        splits,
        evaluators.load("json_fields"),
        method=offline(),
        run=tmp_path / "run",
        seed=0,
    )

    assert 0 < result.baseline.mean < 1
    assert result.baseline.n == 8
    edits = [line["edit"] for line in result.ledger]
    assert {e["agent"] for e in edits} & set(app.SLOTS)
    shown = {e["task"] for e in edits if e["kind"] == "example"}
    assert shown
    assert shown <= {t.id for t in splits.train}
