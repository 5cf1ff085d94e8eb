"""Routing and slots of real dialogues: the ready manager-worker graph with the five MultiWOZ domains as departments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langgraph_truce import System, graphs, local_model

RULES = Path(__file__).parent / "rules"

SLOTS: dict[str, tuple[str, ...]] = {
    "attraction": ("area", "name", "type"),
    "hotel": (
        "area",
        "bookday",
        "bookpeople",
        "bookstay",
        "internet",
        "name",
        "parking",
        "pricerange",
        "stars",
        "type",
    ),
    "restaurant": ("area", "bookday", "bookpeople", "booktime", "food", "name", "pricerange"),
    "taxi": ("arriveby", "departure", "destination", "leaveat"),
    "train": ("arriveby", "bookpeople", "day", "departure", "destination", "leaveat"),
}
"""Department -> its slots, as MultiWOZ 2.1 names them."""


def fields(slots: Sequence[str]) -> dict[str, Any]:
    """JSON schema of a worker's two fields: names out of `slots`, comma-separated, and their values."""
    one = f"({'|'.join(slots)})"
    return {
        "slots": {"type": "string", "pattern": f"^{one}(, {one}){{0,3}}$"},
        "values": {"type": "string", "maxLength": 40},
    }


def state(inputs: Mapping[str, Any]) -> dict[str, str]:
    """A task's inputs as the graph's state, laid out as worked examples are: a line for each input, its name first."""
    return {"request": "\n".join(f"{name.capitalize()}: {text}" for name, text in inputs.items())}


def system(model: Any = None) -> System:
    """The graph with its rules; without a model, on the embedded one, with room for a worker's longest reply."""
    desk: Any = graphs.load("manager_worker")
    house = desk.House({name: fields(slots) for name, slots in SLOTS.items()}, rules=RULES)
    return System(
        desk.build(model or local_model(max_tokens=96, slots=6), house=house),
        RULES,
        inputs=state,
        outputs=lambda final: final.get("answer", {}),
        aggregator="aggregator",
        name="multiwoz",
        in_flight=6,
        calls=2,
    )
