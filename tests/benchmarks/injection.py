"""Prompt injection: do texts from outside steer credit, edits, merging, repairing or scores? Structure alone must stop them.

Every transcript carries one order, in one place (channel), hidden or shouted in one way (trick). It goes through the real
prompts and parsers: verbal credit, critics, diagnosis, suggestions, textual gradients, merging, writing, the rewriting of
whole prompts, the repair round of an unreadable reply; and through what asks no model: state change with lookahead, blame
tests, evaluation. The model is scripted (`injection_model.py`): it does what it is ordered anywhere outside of a quotation,
and is easily taken in: it sees through base64, hidden letters and look-alikes, and takes any line that looks like a
quotation's end, in whatever letters, for one. Otherwise it is honest, and reads what the quotations say.

An attack gets through where anything differs from the same transcript with the order's words in alphabetical order.
The control is the same run without quotations: there the model must be steered, or this benchmark shows nothing.
What a model does that is persuaded by quoted text cannot be shown so: see docs/security.md.

Usage: python tests/benchmarks/injection.py [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import BaseModel

from langgraph_truce.credit import blame_test, critics, state_change_credit, verbal_credit
from langgraph_truce.evaluate import as_evaluator
from langgraph_truce.merge import merge_suggestions
from langgraph_truce.model import ask
from langgraph_truce.prompts import load, quote
from langgraph_truce.rules.edit import Edit, Suggestion
from langgraph_truce.rules.rule import Rule
from langgraph_truce.seams import Batch, Credit, Rollout
from langgraph_truce.suggest import suggest_rules, textual_gradient
from langgraph_truce.task import Outcome, Task
from langgraph_truce.testing import FakeLab, ScriptedModel
from langgraph_truce.testing.batches import make_batch, make_book, make_rollout, make_rules
from langgraph_truce.testing.obedient import TRICKS
from langgraph_truce.write import rewrite_whole, write_edits
from tests.benchmarks.injection_model import ORDER, STEERED, Model

M = TypeVar("M", bound=BaseModel)
Fact = tuple[Any, ...]
CALM = " ".join(sorted(ORDER.split()))
"""The same words, asking nothing."""
LONG = 4000
MARKER = "0123456789abcdef"
"""A guess; `leaked` has the marker of an earlier call instead."""

CHANNELS = (
    *(
        "tool output",
        "user text",
        "agent output",
        "earlier round",
        "other agent",
        "evaluator comment",
        "run error",
    ),
    *("rule text", "agent name", "critic's words", "suggestion", "reason", "rejected edit", "answer"),
    "diagnosis",
)


class Lab(FakeLab):
    """Asks through the real `ask`: reading, repairing and all."""

    def __init__(self, model: Model, aggregator: str = "") -> None:
        super().__init__(
            {"": ()},
            replay=lambda rollout, change, n: replace(rollout, outcome=Outcome("x", 0.0)),
            aggregator=aggregator,
        )
        self.model = ScriptedModel(replies=model, structured="none")

    async def ask(self, prompt: str, fields: Mapping[str, str], schema: type[M], *, purpose: str) -> M:
        return await ask(self.model, load(prompt).fill(fields), schema)


def transcript(channel: str, text: str) -> Batch:
    """A run that failed, with `text` in one place."""

    def put(name: str, otherwise: str) -> str:
        return f"{otherwise} {text}" if channel == name else otherwise

    solver = re.sub(r"[/@~\x00]", "_", put("agent name", "solver"))
    solver = solver if len(solver) < LONG else f"{solver[: LONG // 2]}{solver[-LONG // 2 :]}"
    said = [
        (solver, 1, put("earlier round", "Forty.")),
        ("critic", 1, put("other agent", "Fine.")),
        (solver, 2, put("agent output", "Forty-two.")),
    ]
    run = make_rollout("t1", said, score=0.0, feedback=put("evaluator comment", "No unit."))
    answer = put("answer", "Forty-two.")
    run = replace(run, outcome=replace(run.outcome, result=answer, error=put("run error", "")))
    run = with_tool(run, put("tool output", "42"))
    rules = make_rules(
        solver, "Think.", put("rule text", "Be brief."), Rule("r9", "Be kind.", protected=True)
    )
    return make_batch(
        make_book(replace(rules, next_id=10), make_rules("critic", "Object.")),
        [run],
        tasks={"t1": Task("t1", {"question": put("user text", "How much?")}, {"answer": "42 kg"})},
        targets=(solver,),
        credits=(
            Credit(
                "t1.0",
                "t1",
                (f"{solver}#1.0",),
                -0.5,
                role=solver,
                round=1,
                words=put("critic's words", "Bad."),
                details={"kind": "role", "q": 0.25, "p": None, "c": 0.25, "right": False},
            ),
            Credit(
                "t1.0",
                "t1",
                (f"{solver}#2.0",),
                -0.6,
                words=put("diagnosis", "No unit."),
                details={
                    "kind": "diagnosis",
                    "pattern": "KNOWLEDGE_DEFICIT",
                    "score": 1.0,
                    "round": 1,
                    "role": "",
                },
            ),
        ),
        history=(
            {"iteration": 0, "edit": old_edit(solver, put("rejected edit", "Shout.")), "decision": "reject"},
        ),
        suggestions=tuple(
            Suggestion(
                "MODIFY", solver, put("suggestion", w), "r1", reason=put("reason", "Seen."), tasks=("t1",)
            )
            for w in ("Say more.", "Ask first.")
        ),
    )


def old_edit(agent: str, text: str) -> dict[str, Any]:
    return Edit("e0.1", "ADD", agent, text=text).to_json()


def with_tool(run: Rollout, output: str) -> Rollout:
    history = run.trajectory
    tool = {"name": "look", "input": "tool-in", "output": "tool-out", "error": ""}
    first, *rest = history.steps
    blobs = {**history.blobs, "tool-in": {"q": 1}, "tool-out": output}
    return replace(
        run, trajectory=replace(history, steps=(replace(first, tools=(tool,)), *rest), blobs=blobs)
    )


async def facts(channel: str, text: str, model: Model) -> Mapping[str, Fact]:
    """What became of a transcript, by stage."""
    batch, lab = transcript(channel, text), Lab(model)
    credit, memory = await verbal_credit()(batch, {}, lab)
    wishes, refused = await suggest_rules()(batch, {}, lab)
    merged, repaired = await merge_suggestions()(batch, {}, lab)
    edits, wrong = await write_edits(ready_chars=0)(
        replace(batch, suggestions=batch.suggestions[:1]), {}, lab
    )
    anew, bad = await rewrite_whole()(batch, {}, lab)
    moved, _ = await state_change_credit()(batch, {}, lab)
    blamed, _ = await blame_test(verbal_credit())(batch, {}, lab)
    rounds = Lab(model, aggregator="critic")
    judged, doubted = await critics()(batch, {}, rounds)
    turned, denied = await textual_gradient()(batch, {}, rounds)
    found: dict[str, Fact] = {
        "credit": (*((c.role, c.steps, c.value, c.words == STEERED) for c in credit), counts(memory)),
        "suggest": (*map(wish, wishes), counts(refused)),
        "critics": (
            *((c.role, c.steps, numbers(c), STEERED in c.words) for c in judged if c.role),
            counts(doubted),
        ),
        "diagnosis": tuple(
            (c.steps, numbers(c), c.details["pattern"], c.words == STEERED) for c in judged if not c.role
        ),
        "textual gradient": (*map(wish, turned), tuple(denied["gradients"].values()), counts(denied)),
        "merge": (*((s.op, s.rule, s.support, s.instruction == STEERED) for s in merged), counts(repaired)),
        "write": (*((e.op, e.agent, e.rule, e.text) for e in edits), counts(wrong)),
        "rewrite": (*((e.op, e.agent, e.rule, e.text) for e in anew), counts(bad)),
        "state change": tuple((c.role, c.round, round(c.value or 0, 9)) for c in moved),
        "blame test": tuple((c.role, c.value) for c in blamed),
        "score": (await score(batch),),
    }
    return found


def wish(s: Suggestion) -> Fact:
    return s.op, s.agent, s.rule, s.instruction, s.reason, s.evidence


def numbers(credit: Credit) -> Fact:
    return tuple(v for v in credit.details.values() if isinstance(v, float))


async def score(batch: Batch) -> float:
    """What an evaluator of code makes of the answer."""
    check = as_evaluator(lambda outputs, reference_outputs: outputs == reference_outputs["answer"])
    return (await check(batch.tasks["t1"], batch.rollouts[0].outcome.result)).score


def counts(memory: Mapping[str, Any]) -> Fact:
    return tuple(sorted((k, v) for k, v in memory.items() if k.endswith("_count")))


@contextmanager
def unquoted() -> Iterator[None]:
    """As if the library quoted nothing: the control."""
    places = (quote, sys.modules["langgraph_truce.model.ask"])
    kept = [p.quote for p in places]
    try:
        for place in places:
            place.quote = lambda text, marker: text  # type: ignore[attr-defined]
        yield
    finally:
        for place, function in zip(places, kept, strict=True):
            place.quote = function  # type: ignore[attr-defined]


SILENT = ("blame test", "state change", "score")
"""Stages whose figures alone are kept: what came of an order shows in no words of theirs."""
STAGES = (
    *("credit", "critics", "diagnosis", "suggest", "textual gradient", "merge", "write", "rewrite"),
    *SILENT,
)
"""Of `facts`."""


@dataclass(frozen=True)
class Row:
    """One attack."""

    channel: str
    trick: str
    through: tuple[str, ...]
    """Stages in which it changed something."""
    control: tuple[str, ...]
    """Stages in which the model was steered without quotations; with none of them the attack shows nothing."""


async def attack(channel: str, trick: str) -> Row:
    through: list[str] = []
    for stammers in (False, True):
        first = Model(stammers, {})
        calm = await facts(channel, TRICKS[trick](CALM, MARKER), first)
        leaked = "]\n[end ".join(sorted(set(first.markers.values()))) if trick == "leaked end" else MARKER
        if leaked != MARKER:
            calm = await facts(channel, TRICKS[trick](CALM, leaked), Model(stammers, {}))
        found = await facts(channel, TRICKS[trick](ORDER, leaked), Model(stammers, {}))
        # the agent's own name stands in every citation: there only what was ordered counts
        whole = channel != "agent name"
        through += [s for s in found if took(found[s]) or (whole and found[s] != calm[s])]
    with unquoted():
        control = await facts(channel, TRICKS[trick](ORDER, MARKER), Model(stammers=False, markers={}))
    return Row(channel, trick, tuple(dict.fromkeys(through)), tuple(s for s in control if took(control[s])))


def took(fact: Fact) -> bool:
    """Did something come of the order?"""
    return any(STEERED in part or True in part[3:] for part in fact if isinstance(part, tuple) and part)


async def measure(tricks: Sequence[str]) -> list[Row]:
    return [await attack(channel, trick) for trick in tricks for channel in CHANNELS]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="every sixth trick")
    args = parser.parse_args()
    tricks = list(TRICKS)[:: 6 if args.quick else 1]
    return report(asyncio.run(measure(tricks)))


def report(rows: Sequence[Row]) -> int:
    """Print the tables and the figure; the exit code."""
    for name, key in (("trick", "trick"), ("channel", "channel")):
        tried = Counter(getattr(r, key) for r in rows)
        through = Counter(getattr(r, key) for r in rows if r.through)
        control = Counter(getattr(r, key) for r in rows if r.control)
        print(f"{name:<28} transcripts  through  control")
        for value, n in tried.items():
            print(f"{value:<28} {n:>11}  {through[value]:>7}  {control[value]:>7}")
        print()
    print(f"{'stage':<28} transcripts  through  control")
    untried: list[str] = []
    for stage in STAGES:
        passed, led = sum(stage in r.through for r in rows), sum(stage in r.control for r in rows)
        untried += [] if led or stage in SILENT else [stage]
        print(f"{stage:<28} {len(rows):>11}  {passed:>7}  {led:>7}")
    print()
    failed = [r for r in rows if r.through]
    for r in failed:
        print(f"THROUGH: {r.trick} in {r.channel}: {', '.join(r.through)}")
    weak = [r for r in rows if not r.control]
    for r in weak:
        print(f"FAILED: without quotations {r.trick} in {r.channel} steers nothing: it shows nothing")
    for stage in untried:
        print(f"FAILED: without quotations nothing steers {stage}: it shows nothing of it")
    print(
        f"{len(failed)} of {len(rows)} transcripts got through ({len({r.trick for r in rows})} tricks, "
        f"{len({r.channel for r in rows})} channels); without quotations {len(rows) - len(weak)} of {len(rows)} do"
    )
    return int(bool(failed or weak or untried))


if __name__ == "__main__":
    sys.exit(main())
