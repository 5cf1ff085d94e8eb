"""A database that goes away and comes back in the middle of a run, and a disk that is full."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from langgraph_truce.errors import RunStopped, Unkept
from langgraph_truce.model.address import Address
from langgraph_truce.model.postgres import Line, LineStore
from langgraph_truce.optimizer import optimize, read_run
from langgraph_truce.optimizer.place import open_place

SAME = {"seed": 0}


def score(outputs: Any, reference_outputs: Any) -> float:
    return float(outputs["answer"] == reference_outputs["answer"])


class Cluster:
    """A PostgreSQL server of our own, on a loopback port, that can be stopped and started."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.folder = folder
        self.binaries = binaries
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._run("initdb", "-D", "data", "-U", "me", "-A", "trust", "--no-sync")
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://me@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", "data", "-w", "-m", mode, "stop")

    def _run(self, name: str, *arguments: str) -> None:
        user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run(
            [str(self.binaries / name), *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            **user,  # type: ignore[call-overload]
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no initdb under /usr/lib/postgresql; the tests with cut connections stay")
    import shutil

    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        made = Cluster(folder, found[-1].parent)
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder)


def cut(url: str) -> int:
    """End every session of a fixture's schema on the server, as an administrator or a crash would."""
    with psycopg.connect(url, autocommit=True) as db:
        rows = db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid() AND "
            "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
        ).fetchall()
    return len(rows)


def calmly(toy: Any, at: int, then: Callable[[], None]) -> None:
    """Have `then` happen in another thread when call `at` is made; that call waits for it."""
    original = toy._reply

    def reply(messages: Any, *_: Any) -> str:
        if len(toy.calls) == at:
            thread = threading.Thread(target=then)
            thread.start()
            thread.join()
        return str(original(messages))

    toy._reply = reply


@pytest.mark.parametrize("at", [0, 11, 30])
def test_a_run_outlives_a_restart_of_its_database(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster, at: int
) -> None:
    monkeypatch.chdir(tmp_path)
    clean = optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=tmp_path / "clean")
    asked = len(toy.calls)
    toy.calls.clear()

    def restart() -> None:
        cluster.stop()
        threading.Timer(0.7, cluster.start).start()

    calmly(toy, at, restart)
    result = optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=f"{cluster.url}#r")

    assert (result.rules, result.final) == (clean.rules, clean.final)
    assert [line["decision"] for line in result.ledger] == [line["decision"] for line in clean.ledger]
    assert len(toy.calls) == asked
    assert read_run(f"{cluster.url}#r").rules == clean.rules


@pytest.mark.parametrize("at", [0, 11, 30])
def test_a_run_outlives_its_connection(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str, at: int
) -> None:
    monkeypatch.chdir(tmp_path)
    ended: list[int] = []
    calmly(toy, at, lambda: ended.append(cut(postgres_url)))
    result = optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=f"{postgres_url}#r")

    assert result.final.mean == 1.0
    assert len(toy.calls) == 8 * 5
    assert ended[0] >= 1


def test_a_database_that_stays_away_ends_the_run_and_the_same_call_goes_on(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster
) -> None:
    monkeypatch.chdir(tmp_path)
    calmly(toy, 11, cluster.stop)
    place = f"{cluster.url}?reconnect=0.5#r"
    with pytest.raises(
        Unkept, match=r"did not come back within 0\.5 s .*; the same command goes on once it is there"
    ):
        optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=place)
    paid = len(toy.calls)
    assert paid <= 11 + 8

    cluster.start()
    result = optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=place)
    assert result.final.mean == 1.0
    assert len(toy.calls) - paid >= 8 * 5 - paid
    assert {o["error"] for o in [{"error": row["errors"]} for row in result.iterations]} == {0}


async def test_who_lost_the_lease_to_another_writes_no_more(
    postgres_url: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    place = f"{postgres_url}#r"
    async with open_place(place, SAME) as mine:
        await mine.records.append(1, 0, {"by": "me"})
        _cut_and_wait(postgres_url, "r")
        async with open_place(place, SAME) as theirs:
            await theirs.records.append(1, 1, {"by": "them"})
            with pytest.raises(
                RunStopped, match=rf"another process is writing to this run \(process {os.getpid()}"
            ):
                await mine.records.append(1, 2, {"by": "me"})
        with pytest.raises(RunStopped):  # for good
            await mine.records.append(1, 3, {"by": "me"})
    async with open_place(place, SAME) as again:
        assert [line["by"] for line in await again.records.ledger()] == ["me", "them"]


async def test_who_comes_back_after_another_has_written_is_told(
    postgres_url: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    place = f"{postgres_url}#r"
    async with open_place(place, SAME) as mine:
        _cut_and_wait(postgres_url, "r")
        async with open_place(place, SAME) as theirs:
            await theirs.records.append(1, 0, {"by": "them"})
        with pytest.raises(
            RunStopped, match=r"another process has written to this run .* give the same command again"
        ):
            await mine.records.append(1, 1, {"by": "me"})


def test_a_database_that_refuses_is_one_sentence_and_the_run_goes_on(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    """As one whose disk is full: the session lives, the write does not happen."""
    monkeypatch.chdir(tmp_path)
    full = "ALTER TABLE store ADD CONSTRAINT no_room CHECK (octet_length(value::text) < 0) NOT VALID"

    def fill() -> None:
        with psycopg.connect(postgres_url, autocommit=True) as db:
            db.execute(full)

    calmly(toy, 11, fill)
    with pytest.raises(
        Unkept, match=r"the database refused \(CheckViolation: .*no_room.*\); nothing is half-written"
    ):
        optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=f"{postgres_url}#r")
    paid = len(toy.calls)
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute("ALTER TABLE store DROP CONSTRAINT no_room")
    result = optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=f"{postgres_url}#r")

    assert result.final.mean == 1.0
    assert result.iterations[0]["errors"] == 0
    assert 8 * 5 <= len(toy.calls) <= 8 * 5 + 8
    assert 11 <= paid <= 11 + 8


def _cut_and_wait(url: str, name: str) -> None:
    """The lease is free, and its holder does not know yet."""
    assert cut(url) >= 1
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with psycopg.connect(url) as db:
            row = db.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone()
            if row == (0,):
                return
        time.sleep(0.02)


class Cable:
    """A TCP way to the database whose near end can break: the server is not told, and believes in its sessions."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self._near: list[socket.socket] = []
        self._far: list[socket.socket] = []
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            self._near.append(near)
            self._far.append(far)
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                sink.sendall(data)
        except OSError:
            return

    def cut(self) -> None:
        for near in self._near:
            near.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        for end in (self._server, *self._near, *self._far):
            end.close()


def test_the_session_that_lives_on_behind_a_cut_cable_is_ended(postgres_url: str) -> None:
    """The server still believes in the old session, and so in its lock: its own writer may end it."""
    cable = Cable(5432)
    try:
        address = Address.of(postgres_url.replace("127.0.0.1:5432", f"127.0.0.1:{cable.port}"))
        with Line(address, ("truce", "r")) as line:
            store = LineStore(line)
            store.put(("truce", "r"), "one", {"n": 1}, index=False)
            cable.cut()
            store.put(("truce", "r"), "two", {"n": 2}, index=False)
            assert [item.key for item in store.search(("truce", "r"))] == ["two", "lease", "one"]
    finally:
        cable.close()


FULL = """
import json, resource, signal, sys
sys.path.insert(0, sys.argv[3])
from conftest import Toy, score
from langgraph_truce.errors import RunError
from langgraph_truce.optimizer import optimize

toy = Toy()
limit = int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    result = optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=sys.argv[1])
    print(json.dumps({"final": result.final.mean, "calls": len(toy.calls), "errors": [r["errors"] for r in result.iterations]}))
except RunError as e:
    print(json.dumps({"error": str(e), "calls": len(toy.calls)}))
"""


def full(folder: Path, limit: int) -> dict[str, Any]:
    """A run in a process whose files may not grow beyond `limit` bytes (0: no limit)."""
    command = [sys.executable, "-c", FULL, str(folder), str(limit), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


@pytest.mark.parametrize("limit", [30_000, 100_000, 200_000])
def test_a_full_disk_is_one_sentence_and_the_run_goes_on(tmp_path: Path, limit: int) -> None:
    """SQLite's own error, wherever in the run it strikes: journal, records or checkpoints."""
    first = full(tmp_path / "run", limit)
    if "error" in first:
        assert "could not be written" in first["error"] or "is the disk full" in first["error"]
        assert "\n" not in first["error"]
    second = full(tmp_path / "run", 0)

    assert second["final"] == 1.0
    assert second["errors"] == [0], "a rollout that hit the full disk was scored"
    assert first["calls"] + second["calls"] <= 8 * 5 + 8, "more than what was in flight was asked again"
