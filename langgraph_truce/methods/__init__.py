"""Optimization methods: short compositions of the library's decisions."""

from langgraph_truce.methods.counterfactual import counterfactual
from langgraph_truce.methods.offline import offline
from langgraph_truce.methods.temporal_structural import temporal_structural
from langgraph_truce.methods.truce import outcome_only, truce, whole_prompt

__all__ = ["counterfactual", "offline", "outcome_only", "temporal_structural", "truce", "whole_prompt"]
