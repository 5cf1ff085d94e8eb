"""A whole run with keys everywhere: no byte of the run folder holds one, and a resumed run is the undisturbed one."""

from __future__ import annotations

import base64
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict

import psycopg
import pytest
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from psycopg import sql
from pydantic import SecretStr

from langgraph_truce import Splits, System, Task, ainstructions, optimize, redact
from langgraph_truce.errors import UserMistake
from langgraph_truce.gate import on_validation
from langgraph_truce.methods import counterfactual
from langgraph_truce.optimizer.noise import noise
from langgraph_truce.optimizer.place import Place
from langgraph_truce.optimizer.settings import Run
from langgraph_truce.rollout import keep
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.testing import ScriptedModel

BODY = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6kL9nP2rS5uX8"
SECRETS = {
    "input": f"sk-proj-{BODY[:40]}",
    "tool": f"ghp_{BODY[4:40]}",
    "reply": f"AKIA{BODY[:16].upper()}",
    "error": f"hf_{BODY[6:40]}",
    "comment": f"xoxb-{BODY[:6]}-{BODY[10:26]}",
    "critic": f"gsk_{BODY[:44]}",
    "database": "correct-horse-battery-7",
    "environment": "an odd value, only named a key",
    "object": "0123-model-object-key-4567",
}
PASSWORD = "staple-battery-9"
"""Of the database that a run is kept in."""
NAME = "Jane Roe of Leeds"
"""Nothing that looks like a key: for the user's own hook."""


class State(TypedDict, total=False):
    question: str
    note: str
    answer: str


class Keyed(ScriptedModel):
    """A model object that holds its key, as they do."""

    api_key: SecretStr = SecretStr(SECRETS["object"])
    extra: SecretStr | str = SECRETS["object"]


@tool
def look(what: str) -> str:
    """Look it up."""
    return f"{what}: token {SECRETS['tool']}"


def system(solver: str = "You solve.\n\n- Think.") -> System:
    model = Keyed(replies=lambda m: f"{m[-1].text[:9]} with {SECRETS['reply']} of {NAME}")

    async def find(state: State) -> State:
        if "broken" in state["question"]:
            raise ValueError(f"401: bad key {SECRETS['error']} at postgresql://u:{SECRETS['database']}@h/d")
        return {"note": await look.ainvoke({"what": state["question"]})}

    async def solve(state: State) -> State:
        text = await ainstructions("solve")
        reply = await model.ainvoke(
            [SystemMessage(text), HumanMessage(f"{state['note']} {SECRETS['environment']}")]
        )
        return {"answer": f"{reply.text} {state['note']}"}

    graph = StateGraph(State)
    graph.add_node("find", find)
    graph.add_node("solve", solve)
    graph.add_edge(START, "find")
    graph.add_edge("find", "solve")
    graph.add_edge("solve", END)
    book = RuleBook({"solve": parse("solve", solver)})
    return System(graph.compile(), book, outputs=lambda state: state["answer"], tools={"look": "safe"})


def tasks(split: str) -> list[Task]:
    texts = (f"{split} {n} key {SECRETS['input']} of {NAME}" for n in range(3))
    more = [Task("broken", {"question": "broken one"})] if split == "train" else []
    return [*(Task(f"{split}{n}", {"question": t}, {"answer": "x"}) for n, t in enumerate(texts)), *more]


def score(outputs: Any, reference_outputs: Any) -> dict[str, Any]:
    return {"key": "right", "score": 0.0, "comment": f"see {SECRETS['comment']}, {NAME}"}


def critic(messages: Sequence[BaseMessage]) -> str:
    prompt = messages[-1].text
    if not prompt.startswith("You improve"):
        return json.dumps({"text": "Say it twice."})
    step = next(line[1:].split("]")[0] for line in prompt.splitlines() if line.startswith("[solve#"))
    rules = (f"Always use the key {SECRETS['critic']}.", "Say it twice.")
    wishes = [{"op": "ADD", "instruction": r, "reason": SECRETS["critic"], "evidence": [step]} for r in rules]
    return json.dumps({"contribution": SECRETS["critic"], "suggestions": wishes})


def run_in(folder: Path | str) -> Any:
    return optimize(
        system(),
        Splits(tasks("train"), tasks("validation"), tasks("test")),
        score,
        method=counterfactual(replace=("neutral",), iterations=1, gate=on_validation()),
        model=Keyed(replies=critic),
        run=Run(folder, redact=lambda text: text.replace(NAME, "N. N.")),
    )


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_VENDOR_KEY", SECRETS["environment"])
    monkeypatch.setenv("OTHER_API_KEY", SECRETS["object"])
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:{SECRETS['database']}@h/d")


def opened(data: Any) -> Iterator[bytes]:
    """A stored value, and what is packed inside of it."""
    if isinstance(data, str):
        yield data.encode("utf-8", "surrogatepass")
        try:
            inner = json.loads(data)
        except ValueError:
            return
        if isinstance(inner, dict) and set(inner) == {"json"}:
            yield from opened(inner["json"])
        elif isinstance(inner, str) and len(inner) > 100:
            packed = base64.b64decode(inner)
            assert packed.startswith(keep.MAGIC)
            yield zlib.decompress(packed.removeprefix(keep.MAGIC))
    elif isinstance(data, bytes):
        yield data
        if data[:1] in b'{["':
            yield from opened(data.decode())


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every byte of a run folder, packed things unpacked."""
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        yield file.name, file.read_bytes()
        if file.suffix == ".sqlite":
            with sqlite3.connect(file) as db:
                for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                    for row in db.execute(f'SELECT * FROM "{table}"'):
                        for value in row:
                            for data in opened(value):
                                yield f"{file.name}:{table}", data


def rows(url: str) -> Iterator[tuple[str, bytes]]:
    """Every column of every table of a database's schema, packed things unpacked."""
    with psycopg.connect(url) as db:
        tables = db.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
        for (table,) in tables:
            for row in db.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))):
                for value in row:
                    data = value if isinstance(value, bytes | str) else json.dumps(value, default=str)
                    for one in opened(data):
                        yield f"database:{table}", one


def leaked(held: Iterable[tuple[str, bytes]]) -> set[str]:
    return {name for _, data in held for name, s in SECRETS.items() if s.encode() in data}


@pytest.fixture(params=["folder", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path | str:
    monkeypatch.chdir(tmp_path)
    if request.param == "folder":
        return tmp_path / "runs" / "run"
    url: str = request.getfixturevalue("postgres_url")
    return f"{url.replace('@', f':{PASSWORD}@', 1)}#run"  # the server trusts, and does not ask for it


def kept(place: Path | str) -> list[tuple[str, bytes]]:
    """All that a run has left: its folder (of a run in a database, that of its readable files), and its database."""
    files = list(contents(Path("runs/run")))
    return files if isinstance(place, Path) else [*files, *rows(place.partition("#")[0])]


def test_no_byte_of_what_is_kept_holds_a_secret(
    place: Path | str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    result = run_in(place)
    held = kept(place)

    assert isinstance(place, Path) or PASSWORD in place
    assert [where for where, data in held if PASSWORD.encode() in data] == []
    assert PASSWORD not in "".join([caplog.text, *capfd.readouterr(), repr(Place.of(place)), repr(result)])

    assert isinstance(place, Path) or {"database:store", "database:checkpoint_blobs"} <= {w for w, _ in held}
    assert any(b"channel_versions" in data for _, data in held), (
        "no checkpoints were kept: nothing is looked at"
    )
    assert leaked(held) == set()
    assert [where for where, data in held if NAME.encode() in data] == []
    assert any(b"[redacted]" in data for _, data in held)
    said = json.dumps([dict(line) for line in result.ledger], default=str) + str(result.rules)
    assert not any(secret in said for secret in SECRETS.values())


def test_without_masking_the_same_look_finds_them(place: Path | str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_masked", lambda text, secrets, hide: text)
    run_in(place)

    assert leaked(kept(place)) == SECRETS.keys() - {"object"}, "a model's own key is never written at all"


def test_a_resumed_run_equals_an_undisturbed_one_and_asks_for_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_in(tmp_path / "whole")

    from langgraph_truce.optimizer import nodes

    def die(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr(nodes.Boxes, "suggest", die)
        with pytest.raises((KeyboardInterrupt, TypeError, ValueError)):
            run_in(tmp_path / "cut")
    again = run_in(tmp_path / "cut")

    def decided(result: Any) -> Any:
        return [{k: line.get(k) for k in ("edit", "decision", "words")} for line in result.ledger]

    assert decided(again) == decided(whole)
    assert again.rules == whole.rules
    assert {p: row["calls"] for p, row in again.meter.items()} == {
        p: row["calls"] for p, row in whole.meter.items()
    }


def test_a_prompt_with_a_key_in_it_is_refused_before_anything_is_kept(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match=r"the prompt of 'solve' holds a secret \(.*\[redacted\]"):
        optimize(
            system(f"You solve.\n\n- Use {SECRETS['input']}."),
            Splits(tasks("train"), tasks("validation"), tasks("test")),
            score,
            method=counterfactual(iterations=1, gate=on_validation()),
            model=Keyed(replies=critic),
            run=tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()


def test_what_noise_keeps_is_masked_too(place: Path | str) -> None:
    with_hook = Run(place, redact=lambda text: text.replace(NAME, "N. N."))
    noise(system(), tasks("validation"), score, replicates=1, run=with_hook)

    assert leaked(kept(place)) == set()
    assert [where for where, data in kept(place) if NAME.encode() in data] == []
    assert any(b"[redacted]" in data for _, data in kept(place))
