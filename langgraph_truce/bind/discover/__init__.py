"""Discovery: the hard-coded prompts of a foreign graph, found by running examples once in recording mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph_truce.bind.discover.discovery import adiscover
    from langgraph_truce.bind.discover.record import Feed
    from langgraph_truce.bind.discover.report import Discovery, Found, NotFound, NotReached
    from langgraph_truce.bind.discover.saved import read_prompts, write_prompts

__all__ = [
    "Discovery",
    "Feed",
    "Found",
    "NotFound",
    "NotReached",
    "adiscover",
    "read_prompts",
    "write_prompts",
]

_PLACES = {
    "Discovery": "report",
    "Feed": "record",
    "Found": "report",
    "NotFound": "report",
    "NotReached": "report",
    "adiscover": "discovery",
    "read_prompts": "saved",
    "write_prompts": "saved",
}
"""Imported when first asked for: a system whose nodes read their rules needs nothing of this."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
