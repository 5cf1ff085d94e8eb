"""The travel swarm: what its model does, and the rule that names the codes of bookings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from tests.applications.case import Expected, called, instructions_of, part, said

AGENT = "hotel_assistant/model"
RULE = "Name the codes of all bookings in the closing sentence."
SYNC = True
FANS_OUT = False
AIRPORTS = ["BOS", "JFK", "OSL", "ARN", "LIS", "VIE"]
CITIES = ["Oslo", "Bonn", "Vienna"]
ROWS = [
    (
        said(f"Please book a flight from {one} to {other} and a room in {city}."),
        {"codes": [f"FL-{one}{other}", f"HO-{city[:3].upper()}{len(city)}"]},
    )
    for n, one in enumerate(AIRPORTS)
    for other in AIRPORTS[n + 1 :]
    for city in CITIES
]
EXAMPLES = [row[0] for row in ROWS[:2]]


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> bool:
    closing = outputs["messages"][-1].text
    return all(code in closing for code in reference_outputs["codes"])


def prompts(app: ModuleType) -> Sequence[Expected]:
    flight = """You are the flight desk of a travel agency.

- Book flights only; you know nothing about hotels.
- Airports are written as three capital letters (BOS, JFK).
- When a hotel is wanted too, hand over to the hotel desk after the flight is booked.
- Never hand over before your own part is done."""
    hotel = """You are the hotel desk of a travel agency.

- Book hotels only; flights belong to the flight desk.
- Take the city from what the traveller wrote; ask when there is none.
- When all is booked, close with a friendly sentence.

Examples of what travellers write:
"A room in Oslo, please" -> book_hotel(city="Oslo")
"Two nights near the fair in Bonn" -> book_hotel(city="Bonn")"""
    return (Expected("flight_assistant/model", flight), Expected("hotel_assistant/model", hotel))


def brain(messages: list[BaseMessage]) -> AIMessage | str:
    told = instructions_of(messages)
    asked = next(m.text for m in messages if m.type == "human")
    booked = [m.text for m in messages if m.type == "tool" and m.text.startswith("Booked")]
    if "flight desk of a travel agency" in told:
        if booked:
            return called(("transfer_to_hotel_assistant", {}))
        origin, destination = part(r"from (\w+ to \w+)", asked).split(" to ")
        return called(("book_flight", {"origin": origin, "destination": destination}))
    if not any("hotel" in text for text in booked):
        return called(("book_hotel", {"city": part(r"room in (\w+)", asked)}))
    codes = [part(r"code ([\w-]+)", text) for text in booked]
    return (
        f"Have a good journey ({', '.join(codes)})!"
        if "codes of all bookings" in told
        else "Have a good journey!"
    )
