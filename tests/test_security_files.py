"""Rule files, kept checkpoints, journals and databases from strangers: nothing runs, nothing is written outside, nothing hangs."""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ormsgpack
import pytest
from langgraph.checkpoint.serde import _msgpack
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore

from langgraph_truce.bind.discover import read_prompts, write_prompts
from langgraph_truce.bind.discover.saved import FILE
from langgraph_truce.bind.found import Prompts, Slot
from langgraph_truce.errors import RuleFileError, RunError, TaskError, UserMistake
from langgraph_truce.model import Budget, open_store
from langgraph_truce.model.entry import decode
from langgraph_truce.optimizer.noise import NOISE, read_noise
from langgraph_truce.optimizer.place import open_place, read_place
from langgraph_truce.optimizer.records import Records
from langgraph_truce.redact import MaskingSerializer, Redactor
from langgraph_truce.rollout import keep
from langgraph_truce.rollout.history_open import open_saver
from langgraph_truce.rules import RuleBook, parse, read_rules, write_rules
from langgraph_truce.rules import files as rule_files
from langgraph_truce.task import read_tasks
from langgraph_truce.trajectory import read_trajectories

BOOK = RuleBook(
    {"solver": parse("solver", "You solve.\n\n- Think."), "team/ann": parse("team/ann", "Be Ann.")}
)


@dataclass
class Own:
    """A data class of this module: the application's own."""

    words: str


class Gun:
    """What a hostile file would like to be built: its construction is the shot."""

    fired = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        Gun.fired += 1


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a hostile file's code would make; LangGraph's own strictness, which the tests switch on, is off."""
    monkeypatch.setattr(_msgpack, "STRICT_MSGPACK_ENABLED", False)
    Gun.fired = 0
    return tmp_path / "canary"


def ext(code: int, *parts: Any) -> ormsgpack.Ext:
    return ormsgpack.Ext(code, ormsgpack.packb(list(parts)))


def blob(value: Any, kind: str = "msgpack") -> bytes:
    """Kept checkpoints as a stranger would write them."""
    data = ormsgpack.packb(value, option=ormsgpack.OPT_NON_STR_KEYS) if kind == "msgpack" else value
    whole = ["t", [["", "c1", [kind, data], [kind, data], ""]], [["", "x", 1, [kind, data]]], []]
    return keep.MAGIC + zlib.compress(ormsgpack.packb(whole))


def shots(canary: Path) -> dict[str, Any]:
    """Every way in which LangGraph's msgpack names something to call."""
    name = Gun.__module__
    return {
        "system": ext(0, "os", "system", f"touch {canary}"),
        "eval": ext(0, "builtins", "eval", f"open({str(canary)!r}, 'w')"),
        "positional": ext(1, "os", "mkdir", [str(canary)]),
        "keywords": ext(2, "os", "mkdir", {"path": str(canary)}),
        "method": ext(3, "pathlib", "Path", str(canary), "touch"),
        "pydantic 1": ext(4, name, "Gun", {"a": 1}),
        "pydantic 2": ext(5, name, "Gun", {"a": 1}, "model_validate_json"),
        "own class": ext(0, name, "Gun", 1),
        "import": ext(0, "antigravity_that_is_not_there", "x", 1),
        "nested": ext(
            1, "langchain_core.messages.ai", "AIMessage", [ext(0, "os", "system", f"touch {canary}")]
        ),
    }


@pytest.mark.parametrize("shot", sorted(shots(Path("x"))))
def test_a_strangers_checkpoints_call_nothing(shot: str, canary: Path) -> None:
    saver = keep.unpack(blob({"v": shots(canary)[shot]}))
    for kind, data in saver.blobs.values():
        saver.serde.loads_typed((kind, data))
    Redactor().msgpack(ormsgpack.packb(shots(canary)[shot]))
    MaskingSerializer(Redactor()).loads_typed(("msgpack", ormsgpack.packb(shots(canary)[shot])))

    assert not canary.exists()
    assert Gun.fired == 0


def test_the_canary_would_sing(canary: Path) -> None:
    """The same bytes, read as LangGraph reads them by default."""
    permissive = JsonPlusSerializer(allowed_msgpack_modules=True)
    permissive.loads_typed(("msgpack", ormsgpack.packb(shots(canary)["system"])))
    permissive.loads_typed(("msgpack", ormsgpack.packb(shots(canary)["own class"])))

    assert canary.exists()
    assert Gun.fired == 1


def test_the_applications_own_data_classes_come_back() -> None:
    serde = JsonPlusSerializer()
    kind, data = serde.dumps_typed({"v": Own("yes")})
    whole = ["t", [["", "c1", [kind, data], [kind, data], ""]], [], []]
    saver = keep.unpack(keep.MAGIC + zlib.compress(ormsgpack.packb(whole)))

    assert saver.serde.loads_typed((kind, data)) == {"v": Own("yes")}


@pytest.mark.parametrize("kind", ["json", "pickle", "msgpack+aes"])
def test_forms_that_can_build_objects_are_refused(kind: str) -> None:
    with pytest.raises(RunError, match=f"kind {kind!r}|kind"):
        keep.unpack(blob(b"{}", kind))


def test_bombs_and_torsos_are_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keep, "LARGEST", 1 << 20)
    bomb = keep.MAGIC + zlib.compress(b"\x00" * (8 << 20))
    deep = keep.MAGIC + zlib.compress(b"\x91" * 100_000 + b"\xc0")
    for bad in (bomb, deep, blob({})[:-5], keep.MAGIC + b"no zlib", b"pickle"):
        with pytest.raises(RunError, match=r"kept checkpoints|these bytes"):
            keep.unpack(bad)


def test_a_strangers_journal_entry_becomes_a_message_or_an_error() -> None:
    for row in (
        {"message": {"type": "constructor", "data": {}}, "info": None},
        {"message": {"type": "ai", "data": {"content": {"lc": 1}}}, "info": None},
        {"message": {"lc": 2, "type": "constructor", "id": ["os", "system"], "data": {}}, "info": None},
    ):
        with pytest.raises(ValueError, match=r"message|validation"):
            decode([row])


def test_writing_rules_follows_no_link(tmp_path: Path) -> None:
    folder, outside = tmp_path / "rules", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    precious = outside / "precious"
    precious.write_text("mine")
    for name in (".solver.md.draft", "solver.md", FILE, f"{FILE}.draft"):
        (folder / name).symlink_to(precious)
    (folder / "solver.md").unlink()

    write_rules(RuleBook({"solver": BOOK.agents["solver"]}), folder)
    write_prompts(Prompts((Slot("solver", "You solve."),)), folder)

    assert precious.read_text() == "mine"
    assert read_rules(folder).agents["solver"] == BOOK.agents["solver"]
    assert read_prompts(folder) is not None


def test_a_folder_that_leads_out_is_not_written_to_or_read(tmp_path: Path) -> None:
    folder, outside = tmp_path / "rules", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "team").symlink_to(outside)
    with pytest.raises(RuleFileError, match=r"a link leads out of .*rules"):
        write_rules(BOOK, folder)
    assert list(outside.iterdir()) == []

    (outside / "id_rsa").write_text("private")
    (folder / "team").unlink()
    (folder / "solver.md").symlink_to(outside / "id_rsa")
    with pytest.raises(RuleFileError, match=r"solver\.md: a link leads out"):
        read_rules(folder)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "..", ".bashrc", "a//b", "a\x00b", "a\\..\\b"]
)
def test_agents_names_stay_inside(tmp_path: Path, name: str) -> None:
    with pytest.raises(RuleFileError, match="cannot be a file name"):
        write_rules(RuleBook({name: parse(name, "Be kind.")}), tmp_path / "deep" / "rules")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "- <!--r1 indent=99999999999--> Think.\n",
        f"- <!--r{'9' * 5000}--> Think.\n",
        f"- <!--r1--> Think.\n<!--next={'9' * 5000}-->\n",
    ],
)
def test_hostile_marks_are_sentences(tmp_path: Path, text: str) -> None:
    (tmp_path / "solver.md").write_text(text)
    with pytest.raises(RuleFileError, match=r"solver\.md:\d"):
        read_rules(tmp_path)


def test_huge_files_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "solver.md").write_bytes(b"- Think.\n" * (rule_files.LARGEST // 8))
    with pytest.raises(RuleFileError, match="more than 1024 KiB are no prompt"):
        read_rules(tmp_path)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"slots": 1}', '{"raw_threads": true, "slots": [{"role": "a", "text": "b", "fields": ["c"]}]}', "\x00"]
)  # fmt: skip
def test_hostile_prompts_are_sentences(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(RuleFileError, match="no discovered prompts"):
        read_prompts(tmp_path)


def test_views_in_the_place_of_checkpoints_are_not_read(tmp_path: Path) -> None:
    file = tmp_path / "threads.db"
    with sqlite3.connect(file) as db:
        db.execute("CREATE VIEW checkpoints AS SELECT load_extension('x') AS thread_id")
        db.execute("CREATE VIEW writes AS SELECT 1 AS thread_id")
    with pytest.raises(UserMistake, match="holds no LangGraph checkpoints"), open_saver(file):
        pass


TRAPS = {
    "trigger": "CREATE TRIGGER trap AFTER INSERT ON {table} BEGIN DELETE FROM {table}; END",
    "view": "CREATE VIEW trap AS SELECT shot() AS x",
    "virtual table": "CREATE VIRTUAL TABLE trap USING fts5(x)",
}


async def _run_folder(folder: Path) -> Any:
    async with open_place(folder, {"seed": 0}) as opened:
        await opened.records.append(1, 0, {"n": 1})
        opened.journal.note("n", {"v": 1})
        await opened.saver.setup()  # type: ignore[attr-defined]
    async with read_place(folder) as records:
        return await records.ledger()


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize(
    ("name", "table"), [("records", "store"), ("journal", "store"), ("checkpoints", "checkpoints")]
)
async def test_a_strangers_database_with_something_in_it_that_acts_is_refused(
    tmp_path: Path, name: str, table: str, trap: str
) -> None:
    folder = tmp_path / "run"
    await _run_folder(folder)
    file = folder / f"{name}.sqlite"
    with closing(sqlite3.connect(file)) as db:
        db.execute(TRAPS[trap].format(table=table))
    before = file.read_bytes()

    with pytest.raises(RunError, match=rf"{name}\.sqlite: there is a {trap} 'trap' in this database"):
        await _run_folder(folder)
    if name == "records":
        with pytest.raises(RunError, match=f"a {trap} 'trap'"):
            async with read_place(folder):
                pass
    assert file.read_bytes() == before


async def test_the_trigger_would_have_fired(tmp_path: Path) -> None:
    """The same file, written to by a careless writer."""
    await _run_folder(tmp_path / "run")
    with closing(sqlite3.connect(tmp_path / "run" / "records.sqlite")) as db:
        db.execute(TRAPS["trigger"].format(table="store"))
        db.execute("INSERT INTO store (prefix, key, value) VALUES ('a', 'b', '{}')")
        assert db.execute("SELECT count(*) FROM store").fetchone() == (0,)


@pytest.mark.parametrize("read_only", [False, True])
def test_functions_in_a_strangers_schema_are_not_called(tmp_path: Path, read_only: bool) -> None:
    """What is left when no trigger and no view is there: a default that calls a function of the application's."""
    file = tmp_path / "f.sqlite"
    with open_store(file):
        pass
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.create_function("shot", 0, lambda: 1)
        db.execute("CREATE TABLE trap (a, b DEFAULT (shot()))")
    fired: list[int] = []
    with open_store(file, read_only=read_only) as store:
        assert isinstance(store, SqliteStore)
        store.conn.create_function("shot", 0, lambda: fired.append(1))
        with pytest.raises(sqlite3.OperationalError, match=r"unsafe use of shot|readonly"):
            store.conn.execute("INSERT INTO trap (a) VALUES (1)")
        if read_only:
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                store.conn.execute("CREATE TABLE mine (a)")
    assert fired == []


DEEP = "[" * 100_000


async def test_json_that_is_nested_without_end_is_a_sentence(tmp_path: Path) -> None:
    """In the records of a run, in its manifest, and in the files that are given to commands."""
    folder = tmp_path / "run"
    await _run_folder(folder)
    with closing(sqlite3.connect(folder / "records.sqlite")) as db, db:
        db.execute("UPDATE store SET value = ?", (json.dumps({"json": DEEP}),))
    with pytest.raises(RunError, match=r"'000001/000000' among the run's ledger is damaged \(RecursionError"):
        await _run_folder(folder)
    (folder / "run.json").write_text(DEEP)
    with pytest.raises(RunError, match=r"run\.json: damaged, not JSON"):
        await _run_folder(folder)
    (folder / NOISE).write_text(DEEP)
    with pytest.raises(RunError, match=r"noise\.json: damaged"):
        read_noise(folder)
    (tmp_path / "t.jsonl").write_text(DEEP)
    with pytest.raises(TaskError, match=r"t\.jsonl:1: not a JSON"):
        read_tasks(tmp_path / "t.jsonl")
    with pytest.raises(RunError, match=r"t\.jsonl:1: not a JSON line"):
        read_trajectories(tmp_path / "t.jsonl")
    with pytest.raises(UserMistake, match="nested too deep for prices"):
        Budget(usd=1.0, prices=tmp_path / "p.json") if (tmp_path / "p.json").write_text(DEEP) else None


@pytest.mark.parametrize("value", ["{}", '{"id": 1}', '{"id": "a", "task": "b", "outcome": 3}', "[1]", "3"])
async def test_records_of_another_shape_are_a_sentence(tmp_path: Path, value: str) -> None:
    store = InMemoryStore()
    for kind, key in (("rollouts", "r"), ("books", "b"), ("checkpoints", "c")):
        store.put(("run", kind), key, {"json": value})
    records = await Records(store).open()
    for read, key in ((records.read_rollout, "r"), (records.read_book, "b"), (records.read_checkpoints, "c")):
        with pytest.raises(RunError, match=rf"'{key}' among the run's \w+ is damaged"):
            await read(key)


def test_no_source_of_the_library_unpickles_or_loads_yaml_unsafely() -> None:
    root = Path(rule_files.__file__).parents[1]
    sources = {p: p.read_text(encoding="utf-8") for p in root.rglob("*.py")}
    words = r"import (?:pickle|marshal|shelve)|pickle\.loads?|yaml\.load\(|unsafe_load|pickle_fallback=True|\b(?:eval|exec)\("
    found = [(p.name, w) for p, text in sources.items() for w in re.findall(words, text)]

    assert len(sources) > 100
    assert found == []
