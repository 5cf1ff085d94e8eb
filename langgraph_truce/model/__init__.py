"""The one seam to chat models: structured replies with repair, metering, journal; the embedded local model."""

from langgraph_truce.model.ask import ask
from langgraph_truce.model.commit import Committer
from langgraph_truce.model.journal import Journal
from langgraph_truce.model.local import local_model
from langgraph_truce.model.meter import Meter, Tally
from langgraph_truce.model.place import JournalCallback
from langgraph_truce.model.resolve import resolve_model
from langgraph_truce.model.stores import open_store

__all__ = [
    "Committer",
    "Journal",
    "JournalCallback",
    "Meter",
    "Tally",
    "ask",
    "local_model",
    "open_store",
    "resolve_model",
]
