"""Credit: what segments, roles and rounds did for the outcome."""

from langgraph_truce.credit.agreement import Agreement, agreement
from langgraph_truce.credit.answer import answer_credit
from langgraph_truce.credit.blame_test import blame_test
from langgraph_truce.credit.counterfactual import counterfactual_credit
from langgraph_truce.credit.critics import critics
from langgraph_truce.credit.diagnosis import PATTERNS
from langgraph_truce.credit.outcome_only import outcome_only
from langgraph_truce.credit.state_change import state_change_credit
from langgraph_truce.credit.table import RoleRound, by_role_round
from langgraph_truce.credit.verbal import score_to_value, verbal_credit

__all__ = [
    "PATTERNS",
    "Agreement",
    "RoleRound",
    "agreement",
    "answer_credit",
    "blame_test",
    "by_role_round",
    "counterfactual_credit",
    "critics",
    "outcome_only",
    "score_to_value",
    "state_change_credit",
    "verbal_credit",
]
