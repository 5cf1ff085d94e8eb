"""Suggesting: from credits to policy-editing suggestions."""

from langgraph_truce.suggest.contrast import contrast
from langgraph_truce.suggest.summary import summary
from langgraph_truce.suggest.textual_gradient import textual_gradient
from langgraph_truce.suggest.verbal import suggest_rules

__all__ = ["contrast", "suggest_rules", "summary", "textual_gradient"]
