"""Whose failure it was: the user's code is scored, the infrastructure is retried and then excluded (contract 5).

The rule, in order:

1. An exception with an attribute `infrastructure` says it itself, True or False: on its class, or set before it is
   raised again. So a tool whose search API is down can have its rollouts excluded, and a node can insist on a score.
2. A model call that failed for its endpoint's sake (`model/failure.py`), and that nothing at its place in the graph made
   good since (a retry, a fallback), is the infrastructure's: also where the node swallowed it and went on without.
3. So is what the client of a model provider raised, where a node calls it past LangChain.
4. Everything else is the user's code: its own exceptions, a tool's lost connection, `System.timeout`, requests that the
   endpoint refuses (400, 404, 413, 422: a prompt that is too long is the prompt's fault).

A graph on a server (`RemoteGraph`) has its model calls there: any lost connection counts as the infrastructure's.
"""

from __future__ import annotations

from langgraph_truce.model.failure import chain, infrastructure, of_provider
from langgraph_truce.rollout.record import Recorded


def fault(recorded: Recorded, *, remote: bool = False) -> BaseException | None:
    """The failure of the infrastructure that spoiled a run; None where the run counts, whatever it ended with."""
    error = recorded.error
    if error is not None:
        for one in chain(error):
            said = getattr(one, "infrastructure", None)
            if isinstance(said, bool):
                return error if said else None
        if of_provider(error) or (remote and infrastructure(error)):
            return error
    return recorded.unanswered


def first(error: BaseException) -> BaseException:
    """The first exception that is no group: task groups wrap what one task raised."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
