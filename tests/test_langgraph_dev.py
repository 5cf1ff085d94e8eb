"""`langgraph dev` opens every graph of `langgraph.json`; the optimizer runs there, and a client approves its edits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_client

from langgraph_truce import graphs
from langgraph_truce.optimizer import aread_ledger
from langgraph_truce.rollout.record import record
from tests.dev_server import dev_server

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's `langgraph.json` in a folder of its own."""
    made = tmp_path_factory.mktemp("langgraph-dev")
    shutil.copy(ROOT / "langgraph.json", made)
    for name in ("graphs", "examples", "langgraph_truce", "pyproject.toml"):
        (made / name).symlink_to(ROOT / name)
    _add_stand_ins(made)
    return made


STAND_INS: dict[str, tuple[str, dict[str, Any]]] = {
    "debate_scripted": ("debate", {}),
    "debate_original": ("debate", {"roles": 3, "aggregator": False}),
    "dylan_scripted": ("dylan", {}),
    "dylan_aggregated": ("dylan", {"aggregated": True}),
}
"""Ready graphs on their stand-in for a model, beside those of `langgraph.json`, which ask the embedded one."""


def _add_stand_ins(folder: Path) -> None:
    lines = ["from langgraph_truce import graphs"]
    for name, (graph, form) in STAND_INS.items():
        lines.append(
            f"{name} = graphs.load({graph!r}).build(graphs.load({graph!r}).scripted_model(), **{form!r})"
        )
    (folder / "stand_ins.py").write_text("\n".join([*lines, ""]), encoding="utf-8")
    settings = json.loads((folder / "langgraph.json").read_text(encoding="utf-8"))
    settings["graphs"] |= {name: f"./stand_ins.py:{name}" for name in STAND_INS}
    (folder / "langgraph.json").write_text(json.dumps(settings), encoding="utf-8")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """A development server over it."""
    with dev_server(folder, "--allow-blocking") as found:
        yield found


async def drawings(address: str) -> dict[str, set[str]]:
    """Graph -> names of its nodes, as the server draws it."""
    async with get_client(url=address) as client:
        found: dict[str, set[str]] = {}
        for assistant in await client.assistants.search(limit=100):
            drawing = await client.assistants.get_graph(assistant["assistant_id"])
            found[assistant["graph_id"]] = {str(n["id"]) for n in drawing["nodes"]}
    return found


async def test_every_graph_is_drawn(address: str) -> None:
    wanted = set(json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))["graphs"])

    found = await drawings(address)

    assert wanted <= set(found)
    assert {"manager", "aggregator", "responder"} <= found["manager_worker"]
    assert {"rollout", "segment", "credit", "suggest", "merge", "write", "gate"} <= found["optimizer"]
    assert found["approve_in_studio"] == found["optimizer"]
    assert {"proposer", "critic", "synthesiser", "aggregator", "decide"} <= found["debate"]


@pytest.mark.parametrize("name", STAND_INS)
async def test_debates_run_on_the_server_as_they_run_here(address: str, name: str) -> None:
    graph, form = STAND_INS[name]
    ready: Any = graphs.load(graph)
    system = ready.system(ready.scripted_model(), **form)
    given = system.graph_input(ready.splits().train[0])
    here = await record(system.graph, given, rollout="r", aggregator=system.aggregator)

    there = await record(RemoteGraph(name, url=address), given, rollout="r", aggregator=system.aggregator)

    assert here.error is None
    assert there.error is None
    assert system.answer(there.state) == system.answer(here.state) != {"answer": ""}
    assert [(s.id, s.round) for s in there.trajectory.steps] == [
        (s.id, s.round) for s in here.trajectory.steps
    ]


async def test_edits_are_approved_through_the_server(address: str, folder: Path) -> None:
    async with get_client(url=address) as client:
        thread = (await client.threads.create())["thread_id"]

        async def go(**given: Any) -> dict[str, Any]:
            done = await client.runs.wait(thread, "approve_in_studio", raise_error=True, **given)
            assert isinstance(done, dict)
            return done

        (asked,) = (await go(input={}))["__interrupt__"]
        proposal = asked["value"]
        assert "how" in proposal
        assert proposal["comparison"]["fixed"]
        (again,) = (await go(command={"resume": {"edits": {}}}))["__interrupt__"]
        assert "has no answer" in again["value"]["problem"]
        told = {e["id"]: {"answer": "accept"} for e in proposal["edits"]}
        done = await go(command={"resume": {"edits": told, "by": "ann"}})

    assert done["done"] == "all iterations done"
    ledger = await aread_ledger(folder / "runs/studio")
    assert ledger.finished
    assert ledger.rules.version == done["version"] != done["initial"]
    assert {line["approver"] for line in ledger.select(decision="accept") if line["kind"] == "review"} == {
        "ann"
    }
