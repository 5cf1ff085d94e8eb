"""Credit: what segments, roles and rounds did for the outcome."""

from langgraph_truce.credit.answer import answer_credit
from langgraph_truce.credit.outcome_only import outcome_only
from langgraph_truce.credit.verbal import score_to_value, verbal_credit

__all__ = ["answer_credit", "outcome_only", "score_to_value", "verbal_credit"]
