"""What the journal writes: all of it, in few commits, no secrets; what goes wrong is said."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.store.memory import InMemoryStore

from langgraph_truce.errors import RunError
from langgraph_truce.model import Journal, JournalCallback
from langgraph_truce.testing import ScriptedModel


def config(journal: Journal, *scope: str, purpose: str = "task") -> RunnableConfig:
    return {"callbacks": [JournalCallback(journal, scope, purpose)]}


@pytest.mark.parametrize("shard", [1, 3, 7])
async def test_opening_reads_to_the_end(where: str, shard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from langgraph_truce.model import journal as module

    monkeypatch.setattr(module, "_SHARD", shard)
    monkeypatch.setattr(module, "_PAGE", 2 * shard)
    model = ScriptedModel(replies=lambda m: f"re {m[0].text}")
    for start in (0, 10, 0):
        with Journal.open(where) as journal, journal.installed():
            for i in range(start, start + 11):
                assert (await model.ainvoke(f"q{i}", config(journal, "s"))).text == f"re q{i}"
    assert len(model.calls) == 21
    with Journal.open(where) as journal:
        assert len(journal) == journal.meter.total.calls == 21


async def test_commits_are_grouped(tmp_path: Path) -> None:
    model = ScriptedModel(replies={"": "x"})
    with Journal.open(tmp_path / "j.db") as journal, journal.installed():
        await asyncio.gather(*(model.ainvoke(f"q{i}", config(journal, "s")) for i in range(300)))
        assert len(journal) == 300
        assert journal._committer.groups < 60


def test_no_secret_is_written(tmp_path: Path) -> None:
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    class Offline(ChatOpenAI):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            return ScriptedModel(replies={"": "fine"})._generate(*args[:1])

    model = Offline(model="m", api_key=SecretStr("sk-secret"), base_url="http://127.0.0.1:9/v1")
    with Journal.open(tmp_path / "j.db") as journal, journal.installed():
        model.invoke("q", config(journal, "s"))
        assert len(journal) == 1
    written = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert b"fine" in written
    assert b"sk-secret" not in written


async def test_a_reply_that_cannot_be_written_is_an_error(store: InMemoryStore) -> None:
    class Full(InMemoryStore):
        def batch(self, ops: Any) -> Any:
            raise OSError("disk full")

    model = ScriptedModel(replies={"": "x"})
    journal = Journal(store)
    journal._committer._store = Full()
    with journal, journal.installed(), pytest.raises(RunError, match=r"could not be written .*disk full"):
        await model.ainvoke("q", config(journal, "s"))
    with journal.installed(), pytest.raises(RunError, match="files are closed"):
        model.invoke("q2", config(journal, "s"))
    with pytest.raises(RunError, match="not cleared"):
        journal.clear()


def test_a_file_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(RunError, match="cannot open this SQLite file"),
        Journal.open(tmp_path / "no" / "j.db"),
    ):
        pass
    with (
        pytest.raises(RunError, match="cannot connect to PostgreSQL"),
        Journal.open("postgresql://nobody@127.0.0.1:1/none"),
    ):
        pass
