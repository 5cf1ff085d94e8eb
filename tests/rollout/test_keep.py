"""Kept checkpoints: a blob that another process can fork."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, StateGraph

from langgraph_truce.errors import ReplayRefused, RunError
from langgraph_truce.rollout.keep import MAGIC, apack, pack, unpack
from langgraph_truce.rollout.locate import alocate
from langgraph_truce.rollout.replay import ReplayOptions, areplay
from langgraph_truce.rollout.tap import live_saver
from langgraph_truce.seams import Change
from langgraph_truce.trajectory.plain import deep
from tests.rollout.test_fork import KINDS, PERSON, Notes, run


def plain(saver: Any) -> list[Any]:
    rows = saver.list({"configurable": {"thread_id": "t"}})
    return [(r.config, r.checkpoint, dict(r.metadata), r.parent_config, r.pending_writes) for r in rows]


@pytest.mark.parametrize("name", KINDS)
async def test_an_unpacked_rollout_forks_as_the_stored_one(name: str) -> None:
    kind, saver = KINDS[name], InMemorySaver()
    graph = kind.build()
    done = await run(kind, graph, saver)
    blob = await apack(saver, "t")
    assert blob == pack(saver, "t")
    kept = unpack(blob)
    if name != "pydantic":  # its own classes come back as such where the graph lends their names
        assert plain(kept) == plain(saver)
    found = await alocate(graph, kept, "t", kind.aggregator, done.trajectory)
    options = ReplayOptions(done.trajectory, found, kind.aggregator, tools={"look": "safe"}, run=PERSON)
    for step in found.spots:
        same = await areplay(graph, kept, "t", Change((step,)), rollout="f", options=options)
        assert same is not None
        assert deep(same.state) == deep(done.state)


async def test_databases_and_savers_that_serialise_nothing_are_kept_too(tmp_path: Path) -> None:
    kind = KINDS["delta"]
    graph = kind.build()
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "t.db")) as saver:
        await run(kind, graph, saver)
        kept = unpack(await apack(saver, "t"))
        assert [r.checkpoint async for r in saver.alist(None)] == [r.checkpoint for r in kept.list(None)]
    live = live_saver()
    done = await run(KINDS["debate"], KINDS["debate"].build(), live)
    assert done.error is None
    assert [r.checkpoint["id"] for r in unpack(pack(live, "t")).list(None)] == [
        r.checkpoint["id"] for r in live.list(None)
    ]


async def test_bytes_grow_with_what_is_written(tmp_path: Path) -> None:
    def build(steps: int) -> Any:
        builder = StateGraph(Notes)
        builder.add_node("n", lambda s: {"round": s.get("round", 0) + 1})
        builder.add_edge(START, "n")
        builder.add_conditional_edges(
            "n", lambda s: "n" if s["round"] < steps else "__end__", ["n", "__end__"]
        )
        return builder.compile()

    sizes = []
    for steps in (5, 15):
        saver = InMemorySaver()
        big = {"question": "".join(f"{n:05d}" for n in range(20_000)), "notes": []}
        build(steps).copy({"checkpointer": saver}).invoke(big, {"configurable": {"thread_id": "t"}})
        sizes.append(len(pack(saver, "t")))
    assert sizes[1] < sizes[0] * 1.5


def test_what_is_no_blob_says_so() -> None:
    with pytest.raises(RunError, match="no kept checkpoints"):
        unpack(b"something")
    with pytest.raises(RunError, match="damaged"):
        unpack(MAGIC + b"something")
    with pytest.raises(ReplayRefused, match="'nobody'"):
        pack(InMemorySaver(), "nobody")


class Opaque:
    """Pickle alone can store it."""


def test_a_pickle_is_refused() -> None:
    saver = InMemorySaver(serde=JsonPlusSerializer(pickle_fallback=True))
    builder = StateGraph(Notes)
    builder.add_node("n", lambda s: {"summary": Opaque()})
    builder.add_edge(START, "n")
    builder.compile(checkpointer=saver).invoke({"notes": []}, {"configurable": {"thread_id": "t"}})
    with pytest.raises(ReplayRefused, match="Opaque, which only pickle"):
        pack(saver, "t")


def test_another_process_reads_it(tmp_path: Path) -> None:
    saver = InMemorySaver()
    graph = KINDS["debate"].build().copy({"checkpointer": saver})
    state = graph.invoke(
        {"question": "?", "notes": []}, {"configurable": {"thread_id": "t"}}, durability="sync"
    )
    (tmp_path / "blob").write_bytes(pack(saver, "t"))
    code = (
        "import sys; from pathlib import Path; from langgraph_truce.rollout.keep import unpack\n"
        "saver = unpack(Path(sys.argv[1]).read_bytes())\n"
        "print(saver.get_tuple({'configurable': {'thread_id': 't'}}).checkpoint['channel_values']['summary'])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "blob")], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == state["summary"]
