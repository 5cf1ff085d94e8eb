"""The files of `langgraph-truce credit`: thread ids, scores and references, each mistake with file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph_truce.errors import NOT_JSON, RunError, TaskError

if TYPE_CHECKING:
    from langgraph_truce.rollout.history import Thread
    from langgraph_truce.task import Outcome
    from langgraph_truce.trajectory import Trajectory


def ids(text: str) -> list[str] | None:
    """Thread ids: `a,b,c`, or one a line in the file of `@FILE`; None for "": all threads.

    Raises:
        TaskError: no such file, or no id.
    """
    if not text:
        return None
    if text.startswith("@"):
        listed = _read(Path(text[1:]), "thread ids, one a line").splitlines()
    else:
        listed = text.split(",")
    found = list(dict.fromkeys(name.strip() for name in listed if name.strip()))
    if not found:
        raise TaskError(f"--threads {text}: no thread id in it; leave --threads out for all threads")
    return found


def trajectories(file: Path, wanted: list[str] | None, limit: int | None) -> list[Thread | Trajectory]:
    """The trajectories of a file, or those with the rollout ids `wanted`, at most `limit`.

    What is not there or is broken is a thread without a trajectory, with its sentence.

    Raises:
        TaskError: no such file, or no trajectory file.
    """
    from langgraph_truce.rollout.history import Thread
    from langgraph_truce.trajectory import read_trajectories

    damage: list[str] = []
    try:
        kept = read_trajectories(file, broken=damage.append)
    except RunError as e:
        raise TaskError(str(e)) from e
    chosen = [t for t in kept if wanted is None or t.rollout in wanted][:limit]
    there = {t.rollout for t in kept}
    gone = [f"thread {t!r}: {file} holds no trajectory of it" for t in wanted or () if t not in there]
    return [*chosen, *(Thread("", None, said, finished=False) for said in [*damage, *gone])]


def scores(file: Path) -> dict[str, Outcome]:
    """Outcomes by thread id, from JSON lines `{"thread": id, "score": 0.5, "comment": "..."}`, or those of `evaluate`.

    Raises:
        TaskError: no such file, a broken line, or a score outside of [0, 1].
    """
    from langgraph_truce.task import Outcome

    found: dict[str, Outcome] = {}
    for where, row in _rows(file, '{"thread": id, "score": 0.5, "comment": "why"}'):
        if row.get("excluded"):
            continue  # of `evaluate`: the infrastructure failed, so that there is no score
        thread, score = _thread(row, where), row.get("score")
        if not isinstance(score, int | float) or not 0 <= score <= 1:
            raise TaskError(f"{where}: 'score' must be a number in [0, 1], true or false, got {score!r}")
        if thread in found:
            raise TaskError(f"{where}: thread {thread!r} has a score already; give each thread once")
        comment = str(row.get("comment") or row.get("feedback") or "")
        found[thread] = Outcome(None, float(score), comment, error=str(row.get("error") or ""))
    return found


def references(file: Path) -> dict[str, Mapping[str, Any]]:
    """Reference outputs by thread id, from JSON lines `{"thread": id, "reference_outputs": {...}}`.

    Raises:
        TaskError: no such file, or a broken line.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for where, row in _rows(file, '{"thread": id, "reference_outputs": {"answer": ...}}'):
        given = row.get("reference_outputs", row.get("outputs"))
        if not isinstance(given, Mapping):
            raise TaskError(f"{where}: 'reference_outputs' must be an object, got {given!r}")
        found[_thread(row, where)] = given
    return found


def _thread(row: Mapping[str, Any], where: str) -> str:
    thread = row.get("thread", row.get("thread_id", row.get("id")))
    if thread is None or not str(thread):
        raise TaskError(f"{where}: the line names no 'thread'; it has: {', '.join(row) or 'nothing'}")
    return str(thread)


def _rows(file: Path, form: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(_read(file, f"JSON lines {form}").split("\n"), 1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            row = json.loads(line)
        except NOT_JSON as e:
            raise TaskError(f"{where}: not a JSON line ({e}); write {form}") from e
        if not isinstance(row, dict):
            raise TaskError(f"{where}: a line is a JSON object, got {type(row).__name__}; write {form}")
        yield where, row


def _read(file: Path, what: str) -> str:
    if not file.is_file():
        raise TaskError(f"{file}: no such file; give {what}")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as e:
        raise TaskError(f"{file}: not a text file in UTF-8 ({e.reason}); give {what}") from e
