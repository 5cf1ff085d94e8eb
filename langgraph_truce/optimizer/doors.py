"""The door of a run: who is asked before every model call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from langchain_core.language_models import BaseChatModel

from langgraph_truce.model import Budget, Door, Journal, Request, Traffic
from langgraph_truce.model.prices import Prices
from langgraph_truce.model.spending import Spending
from langgraph_truce.optimizer.planning import Asked
from langgraph_truce.optimizer.settings import Run

_log = logging.getLogger(__name__)


def run_door(
    spending: Spending | None, settings: Run, seed: int, tell: Callable[[str], None] | None = None
) -> Door:
    """The door of one run in this process: who holds the budget, and who looks after the endpoints.

    Args:
        spending: None where nothing is capped.
        settings: its `patience` and `call_timeout` count.
        seed: of the run.
        tell: called on the running loop with what there is to say of an endpoint that is down.
    """
    loop = asyncio.get_running_loop()

    def said(words: str) -> None:
        # whoever shows progress shows it; where nobody does, the log must be loud enough
        _log.log(logging.WARNING if settings.on_event is None else logging.INFO, "%s", words)
        if tell is not None and not loop.is_closed():
            loop.call_soon_threadsafe(tell, words)

    door = Door([] if spending is None else [spending])
    door.traffic = Traffic(
        settings.patience, call_timeout=settings.call_timeout, seed=seed, tell=said, stop=door.stop
    )
    door.keepers.append(door.traffic)
    return door


def run_spending(budget: Budget, journal: Journal, models: Mapping[str, BaseChatModel]) -> Spending | None:
    """Who holds a run to its budget; None where nothing is capped.

    Raises:
        BudgetRefused: a critic or optimizer model has no output limit, or no price, and a cap needs it.
    """
    if not budget.capped:
        return None
    spending = Spending(budget, journal)
    for purpose, model in models.items():
        spending.check(request_of(model, purpose))
    return spending


def request_of(model: BaseChatModel, purpose: str = "") -> Request:
    """What a door would be told of a call of `model`, as far as the object knows before it is called."""
    return Request.of(purpose, [], model._get_invocation_params(), dict(model._get_ls_params()))


def asked(model: BaseChatModel, prices: Prices) -> Asked:
    """What is known of `model` before it is asked."""
    request = request_of(model)
    return Asked(prices.find(request.name), request.output_tokens)
