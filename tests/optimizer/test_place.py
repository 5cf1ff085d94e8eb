"""Where a run is kept: one shape in a folder and in a database, one writer, any number of readers, no secrets."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langgraph_truce.errors import RunError, UserMistake
from langgraph_truce.model.stores import FileSaver
from langgraph_truce.optimizer import optimize, read_run
from langgraph_truce.optimizer.place import Place, open_place, read_manifest, read_place

SAME = {"seed": 0}


def score(outputs: Any, reference_outputs: Any) -> float:
    return float(outputs["answer"] == reference_outputs["answer"])


@pytest.fixture(params=["folder", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    if request.param == "postgres":
        yield f"{request.getfixturevalue('postgres_url')}#monday"
    else:
        yield str(tmp_path / "run")


HOLD = """
import asyncio, sys
from langgraph_truce.optimizer.place import open_place

async def main():
    async with open_place(sys.argv[1], {"seed": 0}) as opened:
        await opened.records.append(1, 0, {"n": 1})
        print("holding", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def holding(place: str) -> subprocess.Popen[str]:
    """Another process that writes to `place`."""
    child = subprocess.Popen([sys.executable, "-c", HOLD, place], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    assert child.stdout.readline() == "holding\n"
    return child


def end(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.communicate()


def test_a_run_is_the_same_wherever_it_is_kept(toy: Any, tmp_path: Path, place: str) -> None:
    arguments: dict[str, Any] = {"method": toy.method("SHOUT."), "seed": 3}
    there = optimize(toy.system(), toy.splits(), score, run=place, **arguments)
    asked = len(toy.calls)
    again = optimize(toy.system(), toy.splits(), score, run=place, **arguments)
    here = optimize(toy.system(), toy.splits(), score, run=tmp_path / "other", **arguments)

    assert len(toy.calls) == 2 * asked
    assert again.ledger == there.ledger
    assert (there.rules, there.final, there.difference) == (here.rules, here.final, here.difference)
    read = read_run(place)
    assert (read.rules, read.ledger, read.final) == (there.rules, there.ledger, there.final)


async def test_the_second_writer_is_told_who_holds_it_and_readers_go_on(place: str) -> None:
    child = holding(place)
    try:
        with pytest.raises(
            RunError, match=rf"another process is writing to this run \(process {child.pid} on .*, since 20"
        ):
            async with open_place(place, SAME):
                pass
        async with read_place(place) as records:
            assert await records.ledger() == ({"n": 1},)
        assert read_manifest(place) == {"schema": 1, "seed": 0}
    finally:
        end(child)


async def test_the_lease_of_a_killed_writer_is_free_at_once(place: str) -> None:
    end(holding(place))
    began = time.monotonic()
    async with open_place(place, SAME) as opened:
        assert time.monotonic() - began < 2
        assert await opened.records.ledger() == ({"n": 1},)


async def test_a_reader_cannot_write(place: str) -> None:
    async with open_place(place, SAME):
        pass
    async with read_place(place) as records:
        with pytest.raises(RunError, match="could not be written"):
            await records.append(1, 0, {"n": 1})
        records.close()
    async with read_place(place) as records:
        assert await records.ledger() == ()


async def test_what_is_not_there_is_said(place: str) -> None:
    with pytest.raises(RunError, match="no run"):
        read_manifest(place)
    with pytest.raises(RunError, match="no run"):
        async with read_place(place):
            pass
    with pytest.raises(RunError, match="no run"):
        async with open_place(place):
            pass
    async with open_place(place, SAME):
        pass
    with pytest.raises(RunError, match=r"belongs to another run \(seed: 0 there, 1 now\)"):
        async with open_place(place, {"seed": 1}):
            pass
    async with open_place(place) as opened:  # whatever it is
        assert await opened.records.ledger() == ()


async def test_runs_in_one_database_are_kept_apart(
    postgres_url: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    async with (
        open_place(f"{postgres_url}#one", {"seed": 1}) as one,
        open_place(f"{postgres_url}#one-2", {"seed": 2}) as two,
    ):
        await one.records.append(1, 0, {"run": "one"})
        await two.records.append(1, 0, {"run": "two"})
        assert await one.records.ledger() == ({"run": "one"},)
        assert one.thread != two.thread
        assert (one.path, two.path) == (Path("runs/one"), Path("runs/one-2"))
    assert read_manifest(f"{postgres_url}#one-2")["seed"] == 2


async def test_many_runs_begin_in_an_empty_database_at_the_same_moment(
    postgres_url: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)

    def begin(n: int) -> int:
        async def go() -> int:
            async with open_place(f"{postgres_url}#r{n}", {"seed": n}) as opened:
                await opened.records.append(1, 0, {"n": n})
                return len(await opened.records.ledger())

        return asyncio.run(go())

    assert await asyncio.gather(*(asyncio.to_thread(begin, n) for n in range(8))) == [1] * 8


@pytest.mark.parametrize("secret", ["s3cr3t", "p%40ss:w%2Frd"])
def test_a_password_is_never_shown(secret: str, tmp_path: Path) -> None:
    for url in (
        f"postgresql://me:{secret}@127.0.0.1:1/db?reconnect=0#monday",
        f"postgresql://me@127.0.0.1:1/db?password={secret}&reconnect=0#monday",
        f"postgresql://me:{secret}@127.0.0.1:1/db?{secret}=%zz#monday",
        f"postgresql://me:{secret}@127.0.0.1:1/db?sslmode={secret}#monday",
    ):
        shown = str(Place.of(url))
        assert secret not in shown.replace(f"{secret}=%zz", "").replace(f"sslmode={secret}", "")
        assert shown.startswith("postgresql://me@127.0.0.1:1/db")
        with pytest.raises(RunError, match="cannot connect to PostgreSQL") as raised:
            read_manifest(url)
        error: BaseException | None = raised.value
        while error is not None and "sslmode" not in url and "%zz" not in url:
            assert secret not in str(error)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_places_that_cannot_be_one_are_refused() -> None:
    with pytest.raises(UserMistake, match="a # in a password is written %23") as raised:
        Place.of("postgresql://me:to#p@host/db")
    assert "to#p" not in str(raised.value)
    for wrong, words in (
        ("postgresql://h/db?reconnect=soon", "a number of seconds"),
        ("postgresql://h/db#a.b", "letters, digits"),
        ("mysql://h/db", "in a folder or in postgresql://"),
        ("postgresql://[::1/db", "cannot be read"),
    ):
        with pytest.raises(UserMistake, match=words):
            Place.of(wrong)
    assert Place.of(Path("postgresql://u@h/db#x")) == Place.of("postgresql://u@h/db#x")  # Path eats a slash
    assert str(Place.of("postgresql://u@h/db")) == "postgresql://u@h/db#run"


def test_a_folder_killed_anywhere_can_be_copied_and_goes_on_elsewhere(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy has the WAL files of a killed process, another path and another working directory."""
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    away.mkdir()
    monkeypatch.chdir(home)
    child = holding("run")
    end(child)
    assert (home / "run" / "records.sqlite-wal").stat().st_size > 0
    shutil.copytree(home / "run", away / "copy")
    shutil.rmtree(home)
    monkeypatch.chdir(away)

    async def goes_on() -> Any:
        async with open_place("copy", SAME) as opened:
            return await opened.records.ledger()

    assert asyncio.run(goes_on()) == ({"n": 1},)
    assert asyncio.run(goes_on()) == ({"n": 1},)
    held = b"".join(p.read_bytes() for p in (away / "copy").rglob("*") if p.is_file())
    assert str(tmp_path).encode() not in held


APP = """
import json
from typing import TypedDict
from langgraph.graph import END, START, StateGraph
from langgraph_truce import Splits, System, Task
from langgraph_truce.evaluate import as_evaluator
from langgraph_truce.methods import truce
from langgraph_truce.optimizer.identity import manifest
from langgraph_truce.rules import RuleBook, parse


class State(TypedDict, total=False):
    a: str


def work(state): return state
def score(outputs): return 1.0

inner = StateGraph(State)
inner.add_node("solver", work)
inner.add_edge(START, "solver")
graph = StateGraph(State)
graph.add_node("team", inner.compile())
graph.add_node("other", work)
graph.add_conditional_edges(START, lambda state: "team", ["team", "other"])
system = System(graph.compile(name="app"), RuleBook({"team/solver": parse("team/solver", "Hm.\\n\\n- x\\n")}))
splits = Splits(*([Task(f"{k}{i}", {"a": f"{k}{i}"}) for i in range(3)] for k in "abc"))
print(json.dumps(manifest(system, splits, as_evaluator(score), truce(), 0), sort_keys=True))
"""


def test_which_run_it_is_depends_on_no_path_and_no_process(tmp_path: Path) -> None:
    said = []
    for seed, folder in (("1", tmp_path / "here"), ("2", tmp_path / "else" / "where")):
        folder.mkdir(parents=True)
        (folder / "app.py").write_text(APP)
        done = subprocess.run(
            [sys.executable, "app.py"], cwd=folder, env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        said.append(done.stdout)
    assert said[0] == said[1]
    assert str(tmp_path) not in said[0]
    assert " at 0x" not in said[0]


def test_no_path_is_kept_in_a_finished_folder(toy: Any, tmp_path: Path) -> None:
    optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=tmp_path / "run")

    for file in (tmp_path / "run").rglob("*"):
        if file.is_file():
            assert str(tmp_path).encode() not in file.read_bytes(), file


def test_a_torn_copy_is_refused(tmp_path: Path) -> None:
    """Pages of a live folder that were copied at different moments; the same pages in place are not looked for."""

    async def fill(place: Path, start: int) -> None:
        async with open_place(place, SAME) as opened:
            for n in range(start, start + 300):
                await opened.records.append(1, n, {"n": n, "words": "x" * 300})

    asyncio.run(fill(tmp_path / "run", 0))
    early = (tmp_path / "run" / "records.sqlite").read_bytes()
    asyncio.run(fill(tmp_path / "run", 300))
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    whole = (tmp_path / "copy" / "records.sqlite").read_bytes()
    half = len(early) // 2 // 4096 * 4096
    (tmp_path / "copy" / "records.sqlite").write_bytes(whole[:half] + early[half:] + whole[len(early) :])

    for _ in range(2):  # a copy that was refused stays one
        with pytest.raises(
            RunError, match=r"records.sqlite: damaged .* copy it again now that the run has stopped"
        ):
            asyncio.run(fill(tmp_path / "copy", 600))


def test_files_of_different_moments_are_refused(toy: Any, tmp_path: Path) -> None:
    """Each file is whole, but the records are older than the checkpoints that rest on them."""
    arguments: dict[str, Any] = {"method": toy.method("SHOUT.", iterations=2)}
    optimize(toy.system(), toy.splits(), score, run=tmp_path / "run", **arguments)
    with sqlite3.connect(tmp_path / "run" / "records.sqlite") as db:
        db.execute("DELETE FROM store WHERE prefix = 'run.boxes' AND key IN ('000000/test', '000001/gate')")
    db.close()
    with sqlite3.connect(
        tmp_path / "run" / "checkpoints.sqlite"
    ) as db:  # as it was before the test was opened
        db.execute(
            "DELETE FROM checkpoints WHERE checkpoint_id IN (SELECT max(checkpoint_id) FROM checkpoints)"
        )
    db.close()

    with pytest.raises(RunError, match=r"the result of 'gate' of iteration 1 is missing"):
        optimize(toy.system(), toy.splits(), score, run=tmp_path / "run", **arguments)


@pytest.mark.parametrize("iteration", [1, 2])
def test_a_run_that_was_killed_before_a_new_iteration_was_checkpointed_goes_on(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, iteration: int
) -> None:
    """The box that counts iterations has finished and its writes are kept; the checkpoint that rests on them is not."""
    arguments: dict[str, Any] = {"method": toy.method("SHOUT.", iterations=2)}
    whole = optimize(toy.system(), toy.splits(), score, run=tmp_path / "whole", **arguments)
    written = FileSaver.aput
    died: list[int] = []

    async def die(self: FileSaver, config: Any, checkpoint: Any, *others: Any) -> Any:
        if checkpoint["channel_values"].get("iteration") == iteration:
            died.append(iteration)
            raise RuntimeError("killed")
        return await written(self, config, checkpoint, *others)

    with monkeypatch.context() as m:
        m.setattr(FileSaver, "aput", die)
        with pytest.raises(RuntimeError, match="killed"):
            optimize(toy.system(), toy.splits(), score, run=tmp_path / "run", **arguments)
    result = optimize(toy.system(), toy.splits(), score, run=tmp_path / "run", **arguments)

    assert set(died) == {iteration}
    assert (result.rules, result.final) == (whole.rules, whole.final)
    assert len(result.iterations) == len(whole.iterations) == 2


def test_reading_leaves_nothing_behind(tmp_path: Path) -> None:
    async def fill() -> None:
        async with open_place(tmp_path / "run", SAME) as opened:
            await opened.records.append(1, 0, {"n": 1})

    asyncio.run(fill())
    names = sorted((tmp_path / "run").iterdir())

    async def read() -> Any:
        async with read_place(tmp_path / "run") as records:
            return await records.ledger()

    assert asyncio.run(read()) == ({"n": 1},)
    assert sorted((tmp_path / "run").iterdir()) == names
    assert json.loads((tmp_path / "run" / "run.json").read_text())["seed"] == 0
