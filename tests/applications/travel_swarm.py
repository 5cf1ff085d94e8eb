"""A swarm: two agents that hand the traveller over to each other."""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph_swarm import create_handoff_tool, create_swarm

from tests.applications.models import chat_model

model = chat_model("travel_swarm")


@tool
def book_flight(origin: str, destination: str) -> str:
    """Book a flight between two airports."""
    return f"Booked: flight {origin}-{destination}, code FL-{origin}{destination}."


@tool
def book_hotel(city: str) -> str:
    """Book a hotel in a city, one night."""
    return f"Booked: hotel in {city}, code HO-{city[:3].upper()}{len(city)}."


flight_assistant = create_agent(
    model,
    [
        book_flight,
        create_handoff_tool(
            agent_name="hotel_assistant", description="Hand the traveller over to the hotel desk."
        ),
    ],
    system_prompt="""You are the flight desk of a travel agency.

- Book flights only; you know nothing about hotels.
- Airports are written as three capital letters (BOS, JFK).
- When a hotel is wanted too, hand over to the hotel desk after the flight is booked.
- Never hand over before your own part is done.""",
    name="flight_assistant",
)

hotel_assistant = create_agent(
    model,
    [
        book_hotel,
        create_handoff_tool(
            agent_name="flight_assistant", description="Hand the traveller over to the flight desk."
        ),
    ],
    system_prompt="""You are the hotel desk of a travel agency.

- Book hotels only; flights belong to the flight desk.
- Take the city from what the traveller wrote; ask when there is none.
- When all is booked, close with a friendly sentence.

Examples of what travellers write:
"A room in Oslo, please" -> book_hotel(city="Oslo")
"Two nights near the fair in Bonn" -> book_hotel(city="Bonn")""",
    name="hotel_assistant",
)

workflow = create_swarm([flight_assistant, hotel_assistant], default_active_agent="flight_assistant")
graph = workflow.compile(checkpointer=InMemorySaver(), name="travel-swarm")
