"""A deterministic stand-in for a model: routes by a few words, and writes numbers as its instructions show them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from langchain_core.messages import BaseMessage

from langgraph_truce.testing import ScriptedModel

from .graph import HOUSE

_WORDS = {
    "payments": ("invoice", "bill", "charged", "refund", "paid"),
    "heating": ("unit", "boiler", "pump", "engineer", "appliance"),
    "transport": ("order", "parcel", "delivery", "shipment", "pallet"),
    "users": ("customer", "account", "log", "password", "app"),
    "development": ("offer", "quote", "enquiry", "contract", "plan"),
}
_SHOWN = re.compile(r'"reference": "(\D*)\d+"')


def scripted_model() -> ScriptedModel:
    """The stand-in; it learns the house's form of a number from an example in its instructions, and nothing else."""
    return ScriptedModel(replies=_reply)


def _reply(messages: Sequence[BaseMessage]) -> str:
    instructions, request = str(messages[0].text), str(messages[-1].text)
    name = next((w for w in HOUSE.workers if f"in the {w} department" in instructions), "")
    return json.dumps(_work(name, instructions, request) if name else _route(request))


def _route(request: str) -> dict[str, str]:
    words = re.findall(r"[a-z]+", request.lower())
    hits = {name: sum(w in own for w in words) for name, own in _WORDS.items()}
    return {HOUSE.choice: max(hits, key=lambda name: hits[name])}


def _work(name: str, instructions: str, request: str) -> dict[str, str]:
    number = max(re.findall(r"\d+", request), key=len, default="")
    shown = _SHOWN.search(instructions)
    desk: list[str] = HOUSE.workers[name]["desk"]["enum"]
    return {"reference": (shown[1] if shown else "") + number, "desk": desk[0]}
