"""Runs the experiment, prints the tables, and keeps them as `tables.md` in the folder of the runs."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from itertools import product

from langgraph_truce.evaluators.multiple_choice import multiple_choice_with

from langgraph_truce import Budget
from langgraph_truce.choices import rule_id
from langgraph_truce.errors import MissingExtra, ModelReplyError, TruceError
from langgraph_truce.gate.noise import noise_text
from langgraph_truce.select import Thresholds

from . import tables
from .experiment import MIPRO, ORIGINAL, Cell, Effort, Experiment, outcomes
from .figures import Figure, figure
from .models import EMBEDDED, Served, critic_model, label
from .options import parse
from .questions import Sizes, questions, reach


def main(given: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    os.environ.setdefault("LANGSMITH_TRACING", "false")
    chosen = parse(given)
    try:
        experiment = experiment_of(chosen)
        said = report(experiment, chosen)
    except TruceError as e:
        print(f"{type(e).__name__}: {e}", file=sys.stderr)
        return e.exit_code
    print(said)
    (experiment.runs / "tables.md").write_text(said + "\n", encoding="utf-8")
    return 0


def experiment_of(chosen: Namespace) -> Experiment:
    """The experiment that the options describe.

    Raises:
        UserMistake: something the caller can put right.
    """
    served = Served(chosen.temperature, chosen.max_tokens, chosen.critic_tokens, chosen.base_url)
    caps = {k: getattr(chosen, f"budget_{k}") for k in ("calls", "tokens", "usd", "seconds")}
    trials = chosen.mipro_trials
    return Experiment(
        splits=questions(
            chosen.data, chosen.folder, Sizes(chosen.train, chosen.validation, chosen.test, chosen.split_seed)
        ),
        score=multiple_choice_with(rule=chosen.rule, letters=chosen.letters),
        rule=rule_id(chosen.rule),
        model=chosen.model,
        critic=critic_model(chosen.critic or chosen.model, served),
        served=served,
        runs=chosen.runs / f"{chosen.data}-{label(chosen.model)}",
        effort=Effort(
            chosen.turns,
            chosen.gate,
            Thresholds(tau=chosen.tau, m=chosen.failures),
            {"num_candidates": max(2, trials // 2), "num_trials": trials} if trials else None,
        ),
        rounds=chosen.rounds,
        budget=Budget(**caps, prices=chosen.prices) if any(caps.values()) else None,
        init=chosen.init,
    )


def report(experiment: Experiment, chosen: Namespace) -> str:
    """Run everything, and say what came out.

    An arm whose package is missing, or whose model gave nothing to go on with, is told in its row; the others run.

    Raises:
        UserMistake: something the caller can put right.
        RunError: a folder belongs to a run with other options.
        RunStopped: a run was stopped in good order; the same command goes on.
    """
    floors = [_noise(experiment, topology) for topology in chosen.topologies] if chosen.noise else []
    found: list[Figure] = []
    missing: dict[tuple[str, str], str] = {}
    for topology, arm, seed in product(chosen.topologies, chosen.arms, chosen.seeds):
        if (topology, arm) in missing:
            continue
        try:
            one = measured(experiment, Cell(topology, arm, seed))
        except (MissingExtra, ModelReplyError) as e:  # the other arms do without
            missing[topology, arm] = f"{type(e).__name__}: {e}"
            continue
        if one.counts:
            found.append(one)
        else:
            missing[topology, f"{arm}, seed {seed}"] = one.stopped or "all of its test was left out"
    parts = [
        tables.main_results(chosen.data, label(chosen.model), found),
        tables.all_arms(found, missing),
        tables.prediction_shifts(found),
        *floors,
        "\n".join(about(experiment, chosen, found)),
    ]
    return "\n\n".join(parts)


def measured(experiment: Experiment, cell: Cell) -> Figure:
    """One run and its figure."""
    print(f"== {cell.words}: {experiment.folder(cell)}", file=sys.stderr)
    result = experiment.run(cell)
    sealed = outcomes(experiment.folder(cell))
    begun = bool(experiment.init) and cell.arm not in (ORIGINAL, MIPRO)
    first = outcomes(experiment.folder(Cell(cell.topology, MIPRO, cell.seed))) if begun else sealed
    return figure(cell, result, first["initial"], sealed["final"], "MIPROv2's rules" if begun else "")


def about(experiment: Experiment, chosen: Namespace, found: Sequence[Figure]) -> list[str]:
    """What the figures rest on, one line each."""
    splits = experiment.splits
    sizes = (
        f"{len(splits.train)} train, {len(splits.validation)} validation, {len(splits.test)} test questions"
    )
    heat = "0, short replies that end in a letter" if chosen.model == EMBEDDED else f"{chosen.temperature:g}"
    edges = f"R = {chosen.rounds}" if chosen.rounds else "R of each topology"
    return [
        f"extraction rule {experiment.rule}: {reach(splits.test, chosen.letters)}",
        f"{sizes} (draw {chosen.split_seed}); {edges}; {chosen.turns} turns; gate: {chosen.gate}"
        + (" (no error control)" if chosen.gate == "on_validation" else ""),
        f"model: {chosen.model}; critic: {chosen.critic or chosen.model}; temperature {heat}"
        + ("; arms that edit begin with MIPROv2's rules" if experiment.init else ""),
        f"model calls: {sum(f.calls for f in found)}",
        *(_heard(f) for f in found if f.judged),
        *(f"{f.cell.words} ended early: {f.stopped}" for f in found if f.stopped),
    ]


def _heard(found: Figure) -> str:
    judged, diagnosed = found.judged or (0, 0)
    return f"{found.cell.words}: the critic judged {judged} aggregates, {diagnosed} runs have a diagnosis"


def _noise(experiment: Experiment, topology: str) -> str:
    print(f"== {topology}, the original system against itself", file=sys.stderr)
    measured = experiment.noise(topology, 0)
    early = f"\nended early: {measured.stopped}" if measured.stopped else ""
    return f"Noise floor, {tables.TITLES[topology]}\n{noise_text(measured.noise)}{early}"


if __name__ == "__main__":
    sys.exit(main())
