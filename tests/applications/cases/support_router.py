"""The support desk: what its model does, and the rule about refunds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from langchain_core.messages import BaseMessage

from tests.applications.case import Expected, instructions_of

AGENT = "router"
RULE = "A message that asks for a refund goes to billing."
SYNC = False
FANS_OUT = False
NAMES = ["Ann", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hal", "Ida"]
GOODS = ["a licence", "the second seat"]
ROWS = [
    ({"message": f"I want a refund for {goods}, order {n}.", "customer": name}, {"department": "billing"})
    for goods in GOODS
    for n, name in enumerate(NAMES, 4711)
]
EXAMPLES = [
    {"message": "My invoice 1093 is wrong.", "customer": "Ann"},
    {"message": "Can I pay by card?", "customer": "Ben"},
    {"message": "The installer crashes at 40 %.", "customer": "Cleo"},
    {"message": "I get error 17 when I log in.", "customer": "Dan"},
    {"message": "Where is my device?", "customer": "Eva"},
    {"message": "The parcel goes to a new address, please.", "customer": "Finn"},
]
BILLING = ("invoice", "pay")
SHIPPING = ("device", "parcel")


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    right = outputs["department"] == reference_outputs["department"]
    comment = "" if right else f"it belongs to {reference_outputs['department']}"
    return {"key": "department", "score": right, "comment": comment}


def prompts(app: ModuleType) -> Sequence[Expected]:
    diagnose = """You find out what is broken.

1) Name the part of the product that the message is about.
2) Name the most likely cause in one sentence.
3) Do not speak to the customer; your text goes to a colleague."""
    technical = """You write to customers who report a fault.
You are writing to {customer}.

- Begin with the customer's name.
- One step at a time, numbered.
- End with "Technical support"."""
    shipping = """You are the shipping department. Answer {customer} in two sentences.

- Never invent a tracking number.
- Say that a device takes five working days.
- Sign as "Shipping".

The message:
{message}"""
    return (
        Expected("router", app.ROUTER_PROMPT),
        Expected("billing/answer", app.BILLING_PROMPT),
        Expected("billing/answer", app.TERMS),
        Expected("technical/diagnose", diagnose),
        Expected("technical/answer", technical, ("customer",)),
        Expected("shipping/answer", shipping, ("customer", "message"), "human"),
    )


def brain(messages: list[BaseMessage]) -> str:
    told, text = instructions_of(messages), messages[-1].text
    if "front desk" not in told:
        return f"Thank you. ({len(text)} characters read)"
    department = "shipping" if any(w in text for w in SHIPPING) else "technical"
    if any(w in text for w in BILLING) or ("refund" in text and "refund" in told):
        department = "billing"
    return json.dumps({"department": department, "urgent": False})
