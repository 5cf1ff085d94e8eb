"""The testing kit: public, documented, and what this library's own tests run on."""

from langgraph_truce.testing.lab import FakeLab
from langgraph_truce.testing.planted import PlantedBottleneck, PlantedDebate, PlantedWorld
from langgraph_truce.testing.real_lab import real_lab
from langgraph_truce.testing.scripted import Reply, ScriptedCall, ScriptedModel

__all__ = [
    "FakeLab",
    "PlantedBottleneck",
    "PlantedDebate",
    "PlantedWorld",
    "Reply",
    "ScriptedCall",
    "ScriptedModel",
    "real_lab",
]
