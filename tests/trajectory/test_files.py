"""Trajectory files: exact round trips, bytes in proportion to steps, and one clear sentence for what is broken."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langgraph_truce.errors import MissingExtra, RunError
from langgraph_truce.trajectory import (
    Contents,
    ModelCall,
    Step,
    Trajectory,
    Usage,
    read_trajectories,
    write_trajectories,
)
from langgraph_truce.trajectory.parquet import read_parquet, write_parquet


def trajectory(rounds: int = 2, name: str = "run/1") -> Trajectory:
    contents = Contents()
    history: list[Any] = []
    steps: list[Step] = []
    for n in range(1, rounds + 1):
        reply = AIMessage(f"reply {n} é \ud800 " + "y" * 90)
        call = ModelCall(
            contents.put([HumanMessage("q"), *history]), contents.put(reply), "m", Usage(1, None), 0.1 * n
        )
        given = contents.put({"messages": history, "n": n})
        steps.append(
            Step(
                id=f"a#{n}.0",
                role="a",
                superstep=n,
                visit=n,
                index=0,
                round=n,
                input=given if n % 2 else None,
                writes={"messages": contents.put([reply])},
                calls=(call, ModelCall(call.prompt, None, error="TimeoutError: slow")),
                tools=({"name": "t", "input": contents.put({"x": 1}), "output": None, "error": "no"},),
                goto=("b", "__end__"),
                latency=1 / 3,
                error="",
            )
        )
        history = [*history, reply]
    return Trajectory(name, tuple(steps), contents.blobs, prompts_known=bool(rounds % 2))


@pytest.mark.parametrize(
    ("write", "read"), [(write_trajectories, read_trajectories), (write_parquet, read_parquet)]
)
def test_round_trip(write: Any, read: Any, tmp_path: Path) -> None:
    path = tmp_path / "t"
    all_of_them = (trajectory(2), trajectory(3, "other"), Trajectory("empty", (), {}), trajectory(1, "other"))
    write(all_of_them, path)
    assert read(path) == all_of_them
    write([], path)
    assert read(path) == ()


def test_bytes_grow_linearly_with_rounds(tmp_path: Path) -> None:
    def size(rounds: int) -> int:
        write_trajectories([trajectory(rounds)], tmp_path / "t.jsonl")
        return (tmp_path / "t.jsonl").stat().st_size

    assert (size(40) - size(20)) / (size(20) - size(10)) < 2.2


@pytest.mark.parametrize(
    ("line", "content", "says"),
    [
        (1, "{}", "no trajectory file"),
        (1, '{"kind": "langgraph-truce trajectories", "schema": 99}', "update langgraph-truce"),
        (2, '{"rollout": "r", "st', "cut off"),
        (2, "[1]", "got list"),
        (2, '{"rollout": "r", "steps": []}', "missing field 'blobs'"),
        (2, '{"rollout": "r", "steps": [{"id": 1}], "blobs": {}}', "missing field 'calls'"),
    ],
)
def test_broken_lines_are_named(line: int, content: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    write_trajectories([trajectory()], path)
    lines = path.read_text().splitlines()
    lines[line - 1] = content
    path.write_text("\n".join(lines))
    with pytest.raises(RunError, match=f"t.jsonl:{line}: .*{says}"):
        read_trajectories(path)


def test_broken_lines_are_told_and_the_others_read(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    write_trajectories([trajectory(), trajectory(), trajectory()], path)
    head, first, second, third = path.read_text().splitlines()
    lost = {**json.loads(second), "blobs": {}}
    path.write_bytes("\n".join([head, first, json.dumps(lost), third[:50]]).encode() + b"\xff")
    told: list[str] = []

    assert read_trajectories(path, broken=told.append) == (trajectory(),)
    assert [line.partition(" (")[0] for line in told] == [
        f"{path}:3: not a trajectory",
        f"{path}:4: not a JSON line",
    ]
    assert "is missing" in told[0]
    with pytest.raises(RunError, match=r"t\.jsonl:3: not a trajectory"):
        read_trajectories(path)


def test_missing_and_foreign_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for read in (read_trajectories, read_parquet):
        with pytest.raises(RunError, match="no such"):
            read(tmp_path / "nothing")
    (tmp_path / "empty").write_text("")
    with pytest.raises(RunError, match="no trajectory file"):
        read_trajectories(tmp_path / "empty")
    with pytest.raises(RunError, match="not a Parquet file"):
        read_parquet(tmp_path / "empty")
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"pip install langgraph-truce\[parquet\]"):
        read_parquet(tmp_path / "empty")


def test_a_file_is_plain_json_lines(tmp_path: Path) -> None:
    write_trajectories([trajectory()], tmp_path / "t.jsonl")
    head, row = (json.loads(line) for line in (tmp_path / "t.jsonl").read_text("ascii").splitlines())
    assert head["schema"] == 1
    assert row["rollout"] == "run/1"
