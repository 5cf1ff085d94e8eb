"""`langgraph-truce credit`: who was to blame in threads that ran already; nothing is edited."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langgraph_truce.cli import credit_files, job, options
from langgraph_truce.errors import UnknownNameError, UserMistake

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langgraph_truce.cli import target
    from langgraph_truce.report.credit import CreditReport
    from langgraph_truce.report.stored import Prepared
    from langgraph_truce.rollout.history import Thread
    from langgraph_truce.seams import Attributor
    from langgraph_truce.system import System
    from langgraph_truce.trajectory import Trajectory

SOURCES: Mapping[str, str] = {
    "verbal": "verbal_credit",
    "state_change": "state_change_credit",
    "outcome_only": "outcome_only",
    "answer": "answer_credit",
    "counterfactual": "counterfactual_credit",
}
"""Credit sources by name: each is a function in the module `langgraph_truce.credit.NAME`."""
FORKING = "counterfactual"
"""The source that runs forks of the threads."""
WITH_MODEL = "verbal"
"""The source that asks a critic."""


def credit(  # noqa: PLR0913 - one parameter per option
    *,
    checkpointer: Annotated[
        str,
        typer.Option(help="sqlite:///threads.db, the path of a SQLite file, or postgresql://...; only read."),
    ] = "",
    graph: Annotated[
        str, typer.Option(help="FILE.py:NAME of the System or compiled graph that wrote the threads.")
    ] = "",
    threads: Annotated[
        str, typer.Option(help="Thread ids, comma-separated, or @FILE with one a line; default: all.")
    ] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many threads, newest first.")] = None,
    jsonl: Annotated[
        Path | None, typer.Option(help="File of trajectories, instead of a checkpointer.")
    ] = None,
    rules: Annotated[
        Path | None, typer.Option(help="Folder of rule files (ROLE.md), for credit by rule.")
    ] = None,
    evaluator: Annotated[
        str,
        typer.Option(help="Scores the threads' final states: FILE.py:NAME, or a ready one (exact_match)."),
    ] = "",
    references: Annotated[
        Path | None,
        typer.Option(help='JSON lines {"thread": id, "reference_outputs": {...}} for the evaluator.'),
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(help='JSON lines {"thread": id, "score": 0.5, "comment": "..."}.')
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            "--credit",
            help="verbal: a critic reads each round; state_change: where the wrong content came in; answer: each role's own "
            "output against the references; counterfactual: contributions replaced and replayed; outcome_only.",
        ),
    ] = "verbal",
    model: Annotated[
        str, typer.Option(help="Critic of --credit verbal: a LangChain name (openai:gpt-4o) or FILE.py:NAME.")
    ] = "",
    aggregator: options.Aggregator = "",
    objective: options.Objective = "",
    outputs: options.Outputs = "",
    replace: Annotated[
        str,
        typer.Option(
            help="What --credit counterfactual puts in a contribution's place, comma-separated: neutral, previous, peer, "
            "fresh, rules (each rule left out in turn)."
        ),
    ] = "neutral",
    replicates: Annotated[
        int,
        typer.Option(
            min=1, help="Replays of each, and of its unedited control, >= 1; more make the interval narrow."
        ),
    ] = 1,
    tool: options.Tools = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Make the model calls that counterfactual credit costs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the report here instead of printing it.")] = None,
    journal: Annotated[
        Path, typer.Option(help="Keeps the models' replies: the same command again asks nothing twice.")
    ] = Path("runs/credit/journal.sqlite"),
) -> None:
    """Find out from stored threads which agent, in which round, by which rule, lost the task."""
    attributor = _source(source, replace, replicates)
    where = _Where(checkpointer, graph, credit_files.ids(threads), limit, jsonl)
    how = _How(source, attributor, evaluator, objective, references, scores, model, yes)
    how.check(where)
    where.check()
    with redirect_stdout(sys.stderr):  # what the application prints is no part of the report
        what = _system(where, rules, aggregator, options.settings(tool, outputs))
        report = asyncio.run(_go(where, how, what, aggregator, journal))
    _leave(report, as_json=as_json, out=out)


@dataclass(frozen=True, slots=True)
class _Where:
    """Where the threads are."""

    checkpointer: str
    graph: str
    threads: list[str] | None
    limit: int | None
    jsonl: Path | None

    def check(self) -> None:
        if bool(self.checkpointer) == bool(self.jsonl):
            raise UserMistake(
                "say where the threads are with either --checkpointer sqlite:///threads.db (or postgresql://...) "
                "or --jsonl FILE"
            )
        if self.checkpointer and not self.graph:
            raise UserMistake(
                "a checkpointer's threads are read with the graph that wrote them; name it with --graph app.py:graph"
            )


@dataclass(frozen=True, slots=True)
class _How:
    """How they are scored and judged."""

    source: str
    attributor: Attributor
    evaluator: str
    objective: str
    references: Path | None
    scores: Path | None
    model: str
    yes: bool

    def check(self, where: _Where) -> None:
        if bool(self.evaluator) == bool(self.scores):
            raise UserMistake(
                "say how the threads did with either --evaluator ev.py:score (with --references FILE where it needs some) "
                "or --scores FILE"
            )
        if self.source == WITH_MODEL and not self.model:
            raise UserMistake(
                f"--credit {self.source} asks a critic; name it with --model openai:gpt-4o, or take a source that asks "
                "none: --credit state_change"
            )
        if self.source == FORKING and (self.scores or where.jsonl):
            raise UserMistake(
                "--credit counterfactual forks stored threads and scores the forks: it needs --checkpointer, --graph and "
                "--evaluator, not --jsonl or --scores"
            )

    def outcomes(self, threads: list[str] | None) -> Any:
        if self.scores is not None:
            given = credit_files.scores(self.scores)
            return given if threads is None else {t: given[t] for t in threads if t in given}
        return job.score(self.evaluator, self.objective)


@dataclass(frozen=True, slots=True)
class _What:
    """What ran: a graph alone, or with its rules."""

    graph: Any = None
    system: System | None = None
    rules: Any = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the options, for a graph alone."""


def _source(name: str, replacements: str = "neutral", replicates: int = 1) -> Attributor:
    import importlib

    if name not in SOURCES:
        raise UnknownNameError(f"no credit source {name!r}; there are: {', '.join(SOURCES)}")
    settings: dict[str, Any] = {}
    if name == FORKING:
        wanted = [way.strip() for way in replacements.split(",") if way.strip()]
        settings = {"replace": wanted, "replicates": replicates}
    made: Attributor = getattr(importlib.import_module(f"langgraph_truce.credit.{name}"), SOURCES[name])(
        **settings
    )
    return made


def _system(where: _Where, rules: Path | None, aggregator: str, settings: target.Settings) -> _What:
    from langgraph_truce.cli import target
    from langgraph_truce.rules import read_rules
    from langgraph_truce.system import System

    book = read_rules(rules) if rules is not None else None
    if not where.graph:
        return _What(rules=book)
    found = target.graph_or_system(where.graph)
    if isinstance(found, System) or rules is not None:
        system = target.system(where.graph, rules=rules, aggregator=aggregator, settings=settings)
        return _What(system.graph, system, system.book)
    return _What(found, settings=settings(found))


async def _go(where: _Where, how: _How, what: _What, aggregator: str, journal: Path) -> CreditReport:
    from langgraph_truce.cli import target
    from langgraph_truce.report.credit_lab import ThreadLab, journal_in, nothing
    from langgraph_truce.report.stored import ajudge, aprepare

    critic = target.model(how.model) if how.source == WITH_MODEL else None
    references = credit_files.references(how.references) if how.references else None
    outcomes = how.outcomes(where.threads)
    closes = aggregator or (what.system.aggregator if what.system else "")
    # evaluators and forks need the states as the graph gives them
    with _opened(where, revive=how.source == FORKING or bool(how.evaluator)) as saver:
        threads = _threads(where, what.graph, saver, closes)
        prepared = await aprepare(
            threads,
            outcomes,
            rules=what.rules,
            references=references,
            system=what.system,
            outputs=what.settings.get("outputs"),
        )
        with journal_in(journal if how.source in {WITH_MODEL, FORKING} else None) as kept:
            describe = what.system.about if what.system else nothing
            lab = ThreadLab(critic, kept, describe=describe, aggregator=closes)
            if how.source == FORKING:
                lab.fork = _forks(prepared, how, what, closes, saver, outcomes, kept)
            return await ajudge(prepared, how.attributor, lab)


def _forks(
    prepared: Prepared, how: _How, what: _What, aggregator: str, saver: Any, evaluate: Any, journal: Any
) -> Any:
    """What runs the forks, after it was said what they cost and agreed to."""
    from langgraph_truce.report.credit_forks import Forks, counted
    from langgraph_truce.report.credit_text import counted_threads
    from langgraph_truce.system import System

    calls = how.attributor.cost(counted(prepared.batch))  # type: ignore[attr-defined] # CounterfactualCredit
    said = (
        f"counterfactual credit of {counted_threads(len(prepared.batch.rollouts))} makes about {calls} model calls "
        "(checkpoints hold no calls: one is counted for every run of a node that has rules, or of any where none has)"
    )
    if not how.yes:
        raise UserMistake(f"{said}; add --yes to make them, or take fewer threads with --limit or --threads")
    typer.echo(said, err=True)
    system = what.system or System(what.graph, prepared.batch.book, aggregator=aggregator, **what.settings)
    return Forks(system, saver, evaluate, journal, prepared.batch.tasks)


@contextmanager
def _opened(where: _Where, *, revive: bool) -> Iterator[Any]:
    if where.jsonl is not None:
        yield None
        return
    from langgraph_truce.rollout.history_open import open_saver

    # what is kept as data stands in the report; LangGraph's own log would say it once more for every type
    logging.getLogger("langgraph.checkpoint.serde.jsonplus").setLevel(logging.ERROR)
    with open_saver(where.checkpointer, revive=revive) as saver:
        yield saver


def _threads(where: _Where, graph: Any, saver: Any, aggregator: str) -> Iterable[Thread | Trajectory]:
    if where.jsonl is not None:
        return credit_files.trajectories(where.jsonl, where.threads, where.limit)
    from langgraph_truce.rollout.history import read_history
    from langgraph_truce.rollout.history_open import thread_ids

    listed = where.threads if where.threads is not None else thread_ids(saver)
    if not listed:
        raise UserMistake(
            "the checkpointer holds no thread; give the database that the graph's runs were saved to"
        )
    return read_history(graph, saver, list(islice(listed, where.limit)), aggregator=aggregator)


def _leave(report: CreditReport, *, as_json: bool, out: Path | None) -> None:
    from rich.console import Console

    from langgraph_truce.report.credit_text import render_credit, show_credit

    console = Console()
    if out is None and not as_json and console.is_terminal:
        show_credit(report, console)
        return
    text = (
        json.dumps(report.to_json(), ensure_ascii=False, indent=2) + "\n"
        if as_json
        else render_credit(report)
    )
    if out is None:
        typer.echo(text, nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    typer.echo(f"Report: {out}")
