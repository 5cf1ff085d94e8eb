from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from langgraph_truce import graphs, instructions
from langgraph_truce.rules import read_rules
from langgraph_truce.testing import ScriptedModel

desk: Any = graphs.load("manager_worker")
FOLDER = Path(str(desk.__file__)).parent


def says(subject: str, worker: str) -> ScriptedModel:
    return ScriptedModel(
        replies=lambda m: json.dumps({"subject": subject}) if "front desk" in str(m[0].text) else worker
    )


async def answer(graph: Any, request: str = "hello 12") -> Any:
    return (await graph.ainvoke({"request": request}))["answer"]


async def test_the_named_worker_answers_and_nobody_else() -> None:
    model = says("heating", '{"reference": " HS-12 ", "desk": "kiln", "extra": 1}')
    given = await answer(desk.build(model))
    assert given == {"department": "heating", "reference": "HS-12", "desk": "kiln"}
    prompts = [str(c.messages[0].text) for c in model.calls]
    assert prompts == [instructions(r, beside=FOLDER / "rules") for r in ("manager", "heating")]


@pytest.mark.parametrize("worker", ["prose", '{"reference": "HS-', "[]", ""])
async def test_a_worker_that_cannot_be_read_gives_no_fields(worker: str) -> None:
    assert await answer(desk.build(says("users", worker or " "))) == {"department": "users"}


async def test_a_manager_that_names_nobody_sends_to_nobody() -> None:
    model = says("kitchen", "{}")
    assert await answer(desk.build(model)) == {}
    assert len(model.calls) == 1


async def test_any_role_can_be_deterministic() -> None:
    model = says("users", "{}")
    functions = {
        "manager": lambda state: {"department": "payments"},
        "payments": lambda state: {"results": [{"reference": state["request"][-2:]}]},
        "responder": lambda state: {"answer": {"said": state["joined"]["reference"]}},
    }
    assert await answer(desk.build(model, agents=functions)) == {"said": "12"}
    assert model.calls == ()


def test_roles_that_cannot_be_are_said() -> None:
    with pytest.raises(ValueError, match=r"kitchen; the roles are: manager, payments"):
        desk.build(agents={"kitchen": lambda state: {}})
    with pytest.raises(ValueError, match="aggregator takes a function"):
        desk.build(agents={"aggregator": says("users", "{}")})


def test_one_plain_edge_per_worker_into_the_aggregator() -> None:
    edges = {(e.source, e.target) for e in desk.graph.get_graph().edges}
    assert {(w, "aggregator") for w in desk.HOUSE.workers} <= edges
    assert not [c for c in desk.graph.channels if str(c).startswith("join:")]


def test_it_loads_by_path_alone_as_langgraph_dev_does(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("by_path", FOLDER / "graph.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "by_path", module)
    spec.loader.exec_module(module)
    assert module.graph.get_name() == "manager_worker"


def test_rules_are_there_for_every_role_that_calls_a_model() -> None:
    assert set(read_rules(FOLDER / "rules").agents) == {"manager", *desk.HOUSE.workers}


def test_the_data_fit_the_house() -> None:
    whole = desk.splits(full=True)
    tasks = [*whole.train, *whole.validation, *whole.test]
    assert len(tasks) >= 300
    assert set(Counter(t.reference_outputs["department"] for t in tasks)) == set(desk.HOUSE.workers)
    for task in tasks:
        right = task.reference_outputs
        assert right["desk"] in desk.HOUSE.workers[right["department"]]["desk"]["enum"]
        assert right["reference"].removeprefix("HS-") in task.inputs["request"]


async def test_the_stand_in_learns_a_form_from_an_example(tmp_path: Path) -> None:
    for file in (FOLDER / "rules").iterdir():
        (tmp_path / file.name).write_text(
            file.read_text() + '- Request: x 1\n  Answer: {"reference": "HS-1"}\n'
        )
    house = replace(desk.HOUSE, rules=tmp_path)
    model = desk.scripted_model()
    before = await answer(desk.build(model), "my boiler 4821 is cold")
    after = await answer(desk.build(model, house=house), "my boiler 4821 is cold")
    assert (before["reference"], after["reference"]) == ("4821", "HS-4821")
