"""Which rules a run really read, and where: noted as `instructions()` is called and as hard-coded prompts are replaced.

Roles that ran do not tell: a node may read another role's rules, none at all, or those of one round.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from langgraph_truce.bind.context import ROLLOUT, VERSION, configurable, current_config

NAMESPACE = "langgraph_checkpoint_ns"


@dataclass(frozen=True, slots=True)
class Read:
    """One look into the rule book."""

    agent: str
    """As it was asked for: `solver`, also where the book answered with `solver@2`."""
    round: int | None
    """As it was asked for."""
    task: str
    """LangGraph's id of the task in which it happened; "" where it cannot be told."""


@dataclass(slots=True)
class Reads:
    """What one rollout read, in the order of the first time."""

    found: dict[Read, None] = field(default_factory=dict)
    lost: bool = False
    """True where somebody read rules and did not say for which rollout: it may have been this one."""


_open: dict[str, tuple[Reads, ...]] = {}
"""By rollout id; one rollout may run twice at the same time."""
_lock = threading.Lock()


@contextmanager
def reading(rollout: str) -> Iterator[Reads]:
    """While in this context, what the rollout reads is noted."""
    mine = Reads()
    with _lock:
        _open[rollout] = (*_open.get(rollout, ()), mine)
    try:
        yield mine
    finally:
        with _lock:
            left = tuple(reads for reads in _open[rollout] if reads is not mine)
            if left:
                _open[rollout] = left
            else:
                del _open[rollout]


def note(agent: str, rollout: object, namespace: str, round: int | None = None) -> None:  # noqa: A002
    """Note a read of `agent` by `rollout` (None where it is not known) in the task that `namespace` ends with."""
    if not _open:
        return
    with _lock:
        if rollout is None:
            for reads in (one for several in _open.values() for one in several):
                reads.lost = True
        for reads in _open.get(str(rollout), ()):
            reads.found.setdefault(Read(agent, round, namespace[namespace.rfind(":") + 1 :]))


def note_here(agent: str, round: int | None) -> None:  # noqa: A002
    """Note a read of `agent` by the node that runs in this context."""
    told = configurable() if _open else {}
    if told.get(VERSION) is None:
        return  # it reads files or the active version, whatever is being tried
    metadata = (current_config() or {}).get("metadata") or {}
    namespace = metadata.get(NAMESPACE) or told.get("checkpoint_ns") or ""
    note(agent, told.get(ROLLOUT), str(namespace), round)
