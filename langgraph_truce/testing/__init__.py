"""The testing kit: public, documented, and what this library's own tests run on."""

from langgraph_truce.testing.lab import FakeLab
from langgraph_truce.testing.planted import PlantedWorld
from langgraph_truce.testing.scripted import Reply, ScriptedCall, ScriptedModel

__all__ = ["FakeLab", "PlantedWorld", "Reply", "ScriptedCall", "ScriptedModel"]
