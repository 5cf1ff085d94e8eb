"""Seeded simulations with known faults; see `PlantedWorld`, `PlantedDebate` and `PlantedBottleneck`."""

from langgraph_truce.testing.planted.bottleneck import PlantedBottleneck
from langgraph_truce.testing.planted.debate import PlantedDebate
from langgraph_truce.testing.planted.debate_play import Guilt
from langgraph_truce.testing.planted.faults import Fault
from langgraph_truce.testing.planted.topics import Topic
from langgraph_truce.testing.planted.world import PlantedWorld

__all__ = ["Fault", "Guilt", "PlantedBottleneck", "PlantedDebate", "PlantedWorld", "Topic"]
