"""`langgraph dev` opens every graph of `langgraph.json`; the optimizer runs there, and a client approves its edits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_client

from langgraph_truce.optimizer import aread_ledger
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
    return made


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
