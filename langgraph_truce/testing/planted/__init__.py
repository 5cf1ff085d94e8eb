"""A seeded simulation with known faults; see `PlantedWorld`."""

from langgraph_truce.testing.planted.faults import Fault
from langgraph_truce.testing.planted.topics import Topic
from langgraph_truce.testing.planted.world import PlantedWorld

__all__ = ["Fault", "PlantedWorld", "Topic"]
