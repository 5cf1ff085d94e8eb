"""Critics that answer from the prompt alone, and debates of multiple-choice questions for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langgraph_truce.rules.rule import RuleBook
from langgraph_truce.seams import Batch, Rollout
from langgraph_truce.task import Task
from langgraph_truce.testing import ScriptedModel
from langgraph_truce.testing.batches import make_batch, make_book, make_rollout, make_rules
from langgraph_truce.testing.lab import FakeLab, Script
from langgraph_truce.testing.planted.page import read

Answering = Callable[[Mapping[str, str]], dict[str, Any]]
OPTIONS = {"A": "one", "B": "two", "C": "three", "D": "four"}
BOOK = make_book(*(make_rules(a, f"Be a good {a}.") for a in ("ann", "bob", "agg", "end")))
_IDS = re.compile(r"^\[(\S+#\d+\.\d+)\] role", re.MULTILINE)


def question(task: str, answer: str = "B") -> Task:
    return Task(task, {"question": f"question {task}?", "options": OPTIONS}, {"answer": answer})


def debate(
    task: str = "t1", *rounds: Mapping[str, str], score: float = 0.0, end: str = "(A)", replicate: int = 0
) -> Rollout:
    """Each round maps roles to what they say, in order; `agg` closes it. A decision `end` follows."""
    said = [
        (role.rstrip("'"), n, text) for n, spoken in enumerate(rounds, 1) for role, text in spoken.items()
    ]
    said.append(("end", len(rounds) + 1, end))
    return make_rollout(task, said, score=score, feedback=f"feedback {task}", replicate=replicate)


def two_rounds(task: str = "t1", score: float = 0.0, replicate: int = 0) -> Rollout:
    """Ann is right twice, Bob once; the aggregate is wrong, then right."""
    return debate(
        task,
        {"ann": "It is (B).", "bob": "It is (A).", "agg": "They say (A)."},
        {"ann": "Still (B).", "bob": "Now (B).", "agg": "All say (B)."},
        score=score,
        replicate=replicate,
    )


def batch_of(*rollouts: Rollout, book: RuleBook = BOOK, **parts: Any) -> Batch:
    tasks = {r.task: question(r.task) for r in rollouts}
    return make_batch(book, rollouts, tasks=tasks, **parts)


def step_ids(text: str) -> list[str]:
    return _IDS.findall(text)


def critic(q: Any = 0.6, aggregate: Any = 0.8) -> Answering:
    """Judges every utterance alike."""

    def reply(fields: Mapping[str, str]) -> dict[str, Any]:
        said = [{"step": i, "q": q, "words": f"{i} it is"} for i in step_ids(fields["utterances"])]
        shared = step_ids(fields["aggregate"])
        found = {"step": shared[0], "q": aggregate, "words": "kept it"} if shared else None
        return {"utterances": said, "aggregate": found}

    return reply


def peers(p: Any = 0.2) -> Answering:
    def reply(fields: Mapping[str, str]) -> dict[str, Any]:
        roles = re.findall(r"^- ([^:\n]+)", fields["roles"], re.MULTILINE)
        return {"roles": [{"role": r, "p": p, "words": f"{r} led on"} for r in roles]}

    return reply


def diagnosis(pattern: str = "KNOWLEDGE_DEFICIT", score: Any = 1) -> Answering:
    return lambda _: {"pattern": pattern, "score": score, "words": "a fact is missing"}


def lab(
    aggregator: str = "agg", about: Mapping[str, str] | None = None, **replies: Script | Sequence[Any]
) -> FakeLab:
    scripts: dict[str, Any] = {"critic": critic(), "peers": peers(), "diagnosis": diagnosis()}
    return FakeLab({**scripts, **replies}, aggregator=aggregator, about=about)


def asked(fake: FakeLab) -> list[tuple[str, str]]:
    """(prompt, purpose) of every call, sorted."""
    return sorted((a.prompt, a.purpose) for a in fake.asked)


def rendered_as(model: ScriptedModel) -> set[str]:
    """The optimizer's prompts that a model was asked with, by name; texts that are none of them count as ""."""
    return {str(read(call.messages[-1].text).kind) for call in model.calls} - {""}
