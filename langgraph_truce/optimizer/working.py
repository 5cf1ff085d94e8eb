"""A place that is worked in: open, its secrets masked, its door kept. The one way in which a command runs a system."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel

from langgraph_truce.bind import optimizing
from langgraph_truce.drain import heeding
from langgraph_truce.model import Budget
from langgraph_truce.model.spending import Spending
from langgraph_truce.optimizer.doors import run_door, run_spending
from langgraph_truce.optimizer.place import Opened, open_place
from langgraph_truce.optimizer.settings import Run
from langgraph_truce.redact import MaskingSerializer, Redactor
from langgraph_truce.system import System


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms model calls are made."""

    budget: Budget
    """What may be spent."""
    models: Mapping[str, BaseChatModel]
    """Critics and optimizers, by purpose; what a cap cannot be kept with is refused."""
    seed: int
    """Of the run."""
    tell: Callable[[str], None] | None = None
    """Told of endpoints that are down, on the running loop; None: `Run.on_event` hears of them, without a stage."""


@asynccontextmanager
async def working(
    settings: Run, manifest: Mapping[str, Any] | None, system: System, terms: Terms
) -> AsyncIterator[tuple[Opened, Spending | None]]:
    """Open the place of `settings` and let `system` make model calls there.

    While it is open, everything that is kept is masked, every model call asks the run's door (budget, endpoints that are
    busy or dead), replies are journalled, and a SIGTERM ends the work in good order.

    Args:
        settings: The place, and how the run behaves.
        manifest: Which run it is; None for one that is there already, whatever it is.
        system: What is run; its prompts must hold no secret.
        terms: Of the model calls.

    Returns:
        The place; and who holds it to the budget, None where nothing is capped.

    Raises:
        UserMistake: a prompt holds a secret.
        BudgetRefused: see `run_spending`.
        RunError: see `open_place`.
    """
    redact = Redactor(settings.redact)
    redact.refuse_in({agent: system.book.render(agent) for agent in system.book.agents})
    async with open_place(settings.place, manifest) as opened:
        journal = opened.journal
        journal.redact = opened.records.redact = redact
        opened.saver.serde = MaskingSerializer(redact)
        spending = run_spending(terms.budget, journal, terms.models)
        tell = terms.tell or _speaker(settings, journal.meter.snapshot)
        journal.door = run_door(spending, settings, terms.seed, tell)
        try:
            with journal.installed(), optimizing(), heeding(journal.door):
                yield opened, spending
        finally:
            if spending is not None:
                spending.close()


def _speaker(settings: Run, meter: Callable[[], Mapping[str, Any]]) -> Callable[[str], None]:
    """Tells the progress display why the work waits, or that it goes on."""

    def tell(words: str) -> None:
        if settings.on_event is not None:
            at = {"stage": "", "iteration": 0, "done": 0, "total": 0}
            settings.on_event({**at, "meter": meter(), "words": words})

    return tell
