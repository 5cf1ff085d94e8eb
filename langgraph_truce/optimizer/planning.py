"""`plan`: what a run will ask of its models, before it asks: calls, tokens and dollars, each as a range."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from langgraph_truce.model.prices import Price
from langgraph_truce.optimizer.phases import logs_of
from langgraph_truce.prompts import load, names
from langgraph_truce.seams import Method
from langgraph_truce.select.blocks import check_marked
from langgraph_truce.system import System
from langgraph_truce.task import Splits, Task

Range = tuple[int, int]
"""(fewest, most)"""
Dollars = tuple[float, float]
LONG, SHORT = 6, 3
"""Characters a token: at most in plain English prose, at least in code, numbers and most other languages."""
FRAME = (2, 60)
"""Tokens that a call has beside its texts: chat template; role names, tools, what a node writes around a task."""
REPLY = (2, 800)
"""Tokens of a reply; the most is the model's output limit where that is lower."""
CRITIC_REPLY = (5, 1500)
FORM = (0, 1500)
"""Tokens of the JSON schema that a critic's reply follows."""
ASSUMED = (
    f"a token is {SHORT} to {LONG} characters, a reply {REPLY[0]} to {REPLY[1]} tokens ({CRITIC_REPLY[1]} of the critic), "
    "less where the model's limit is lower; a call sees its instructions, the task and up to every reply before it"
)


@dataclass(frozen=True, slots=True)
class PlanRow:
    """What is expected for one purpose."""

    purpose: str
    low: int
    """Fewest calls: nothing is suggested after the first iteration, and later phases of a turn read its rollouts."""
    high: int
    """Most: every iteration runs its tasks and tries all the candidates it may."""
    words: str
    """How it was counted."""
    tokens: Range = (0, 0)
    """Tokens, in and out, of so many calls."""
    usd: Dollars | None = None
    """Dollars; None where the model's price is unknown."""

    def to_json(self) -> dict[str, Any]:
        """As `Result.planned` has it."""
        return {
            "calls": [self.low, self.high],
            "tokens": list(self.tokens),
            "usd": None if self.usd is None else list(self.usd),
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is expected to spend. Journalled replies are free, so a resumed run spends less."""

    rows: tuple[PlanRow, ...]
    assumed: str = ASSUMED
    """What the tokens rest on."""

    @property
    def low(self) -> int:
        """Fewest calls in all."""
        return sum(r.low for r in self.rows)

    @property
    def high(self) -> int:
        """Most calls in all."""
        return sum(r.high for r in self.rows)

    @property
    def tokens(self) -> Range:
        """Tokens in all."""
        return sum(r.tokens[0] for r in self.rows), sum(r.tokens[1] for r in self.rows)

    @property
    def usd(self) -> Dollars | None:
        """Dollars in all; None where the price of one model is unknown."""
        known = [r.usd for r in self.rows if r.usd is not None]
        if len(known) < sum(1 for r in self.rows if r.high):
            return None
        return sum(d[0] for d in known), sum(d[1] for d in known)

    def row(self, purpose: str) -> PlanRow:
        """The row of a purpose; an empty one where nothing is expected."""
        return next((r for r in self.rows if r.purpose == purpose), PlanRow(purpose, 0, 0, ""))

    def to_json(self) -> dict[str, dict[str, Any]]:
        """As `Result.planned` has it."""
        return {r.purpose: r.to_json() for r in self.rows}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of a model before it is asked."""

    price: Price | None = None
    limit: int | None = None
    """Most tokens of a reply."""

    def reply(self, most: int) -> int:
        """Most tokens of a reply that is not expected to be longer than `most`."""
        return most if self.limit is None else min(most, self.limit)


@dataclass(frozen=True, slots=True)
class _Calls:
    """So many calls with so many tokens."""

    calls: Range
    into: Range
    out: Range
    """Tokens of all of them together."""

    @property
    def tokens(self) -> Range:
        return self.into[0] + self.out[0], self.into[1] + self.out[1]

    def usd(self, price: Price | None) -> Dollars | None:
        if price is None:
            return None
        low, high = (price.together(self.calls[i], self.into[i], self.out[i]) for i in (0, 1))
        return low, high


def plan(
    system: System,
    splits: Splits,
    method: Method,
    *,
    critics: Mapping[str, Asked] | None = None,
    task: Asked | None = None,
) -> Plan:
    """What `optimize(system, splits, ..., method=method)` will spend.

    A rollout counts `system.calls` model calls, or one per agent of the rule book where that is not known. What judges
    in the evaluator ask is not in it: nothing tells before they run.

    Args:
        system: As for `optimize`.
        splits: As for `optimize`.
        method: As for `optimize`.
        critics: Critic models by purpose, "" for the rest; None: nothing is known of them.
        task: The system's model; None: nothing is known of it.

    Raises:
        UserMistake: the method needs the node that closes a round (`Method.marked`), and the system does not name it.
    """
    critics, task = critics or {}, task or Asked()
    agents = len(system.book.agents)
    per_rollout = system.calls if system.calls is not None else float(agents)
    if method.marked:
        check_marked(system.aggregator)
    k = method.iterations
    fewest = min(k, method.patience or k)
    sampled = min(method.sample or len(splits.train), len(splits.train))
    # what a later phase reads was run, and its critics answered, in the first phase of its turn
    fewest = math.ceil(fewest / method.phases)
    once = 1 if method.reuse else fewest
    each = f"{per_rollout:g} calls a rollout"
    turns = (f"{fewest} to {k}" if fewest < k else f"{k}") + (" iterations" if k > 1 else " iteration")
    if method.phases > 1:
        turns += f" (turns of {method.phases} phases: a later one runs them where the rules changed and no gate logs are there)"
    n_val, n_test = len(splits.validation), len(splits.test)
    again = getattr(method.gate, "replicates", 1)
    often = f", {again} times each" if again > 1 else ""
    counted = (
        ("task", splits.train, (sampled * once, sampled * k), f"{sampled} train tasks, {turns}, {each}"),
        ("gate", splits.validation, (0, n_val * again * (k + k * method.trials)), f"{n_val} validation tasks{often}, baseline and up to {method.trials} candidates an iteration"),
        ("test", splits.test, (n_test, 2 * n_test), f"{n_test} test tasks, before and after, once"),
    )  # fmt: skip
    rows = []
    for purpose, tasks, rollouts, words in counted:
        sent = _rollouts(system, tasks, rollouts, per_rollout, task)
        rows.append(PlanRow(purpose, *sent.calls, words, sent.tokens, sent.usd(task.price)))
    for purpose, (low, high) in _asks(method, sampled, n_val, agents).items():
        critic = critics.get(purpose) or critics.get("") or Asked()
        sent = _asked(purpose, system, splits.train, (low * fewest, high * k), per_rollout, critic)
        words = f"{low} to {high} an iteration" + (", fewest in each turn" if method.phases > 1 else "")
        rows.append(PlanRow(purpose, *sent.calls, words, sent.tokens, sent.usd(critic.price)))
    return Plan(tuple(rows))


def _asks(method: Method, sampled: int, validation: int, agents: int) -> Mapping[str, Range]:
    """Fewest and most calls of an iteration by purpose; one that reads gate logs may have more tasks than are sampled."""
    if method.asks is None:
        return {}
    logs = logs_of(validation, method.logs) if method.phases > 1 else 0
    few, many = method.asks(sampled, agents), method.asks(max(sampled, logs), agents)
    return {purpose: (low, max(high, many[purpose][1])) for purpose, (low, high) in few.items()}


def _rollouts(
    system: System, tasks: Sequence[Task], rollouts: Range, per_rollout: float, model: Asked
) -> _Calls:
    low, high = (round(n * per_rollout) for n in rollouts)
    texts = [len(system.book.render(agent)) for agent in system.book.agents] or [0]
    given = [_size(t) for t in tasks] or [0]
    before = max(0.0, per_rollout - 1) * model.reply(REPLY[1])
    shortest, longest = min(texts) // LONG, (max(texts) + max(given)) // SHORT
    return _Calls(
        (low, high),
        (low * (shortest + FRAME[0]), round(high * (longest + FRAME[1] + before))),
        (low * REPLY[0], high * model.reply(REPLY[1])),
    )


def _asked(
    purpose: str, system: System, tasks: Sequence[Task], calls: Range, per_rollout: float, model: Asked
) -> _Calls:
    """A critic's prompt is its own text with what it quotes: one run at most, all rules, and what was said of them."""
    own = _own(purpose)
    rules = sum(len(system.book.render(agent)) for agent in system.book.agents)
    run = (max([_size(t) for t in tasks] or [0]) + rules) // SHORT + int(per_rollout * REPLY[1])
    said = len(tasks) * CRITIC_REPLY[1] // 4  # credits and suggestions of the tasks, in a line or two each
    reply = model.reply(CRITIC_REPLY[1])
    low, high = calls
    return _Calls(
        (low, high),
        (low * (own // LONG), high * (own // SHORT + FORM[1] + 2 * rules // SHORT + run + said)),
        (low * CRITIC_REPLY[0], high * reply),
    )


@cache
def _own(purpose: str) -> int:
    """Characters of the optimizer's own prompt of a purpose; 0 where it is a method's own."""
    return len(load(purpose).text) if purpose in names() else 0


def _size(task: Task) -> int:
    return len(json.dumps(dict(task.inputs), ensure_ascii=False, default=str))
