"""The one seam to chat models: structured replies with repair, metering, journal; the embedded local model."""

from langgraph_truce.model.ask import ask
from langgraph_truce.model.budget import Budget
from langgraph_truce.model.commit import Committer
from langgraph_truce.model.door import Door, Ended, Keeper, Request
from langgraph_truce.model.journal import Journal
from langgraph_truce.model.meter import Meter, Tally
from langgraph_truce.model.place import JournalCallback
from langgraph_truce.model.resolve import resolve_model
from langgraph_truce.model.stores import open_store
from langgraph_truce.model.traffic import Patience, Traffic

__all__ = [
    "Budget",
    "Committer",
    "Door",
    "Ended",
    "Journal",
    "JournalCallback",
    "Keeper",
    "Meter",
    "Patience",
    "Request",
    "Tally",
    "Traffic",
    "ask",
    "open_store",
    "resolve_model",
]
