"""The state bottleneck: role nodes in rounds, closed by an aggregator (TSCA section 4.1).

In round t every role sees the task x and the shared state S_(t-1), and nothing else; the aggregator writes
S_t = f_t(U_t; psi_t) from what they said; after at most R rounds the decision node reads (x, S_R).
"""

from __future__ import annotations

from langgraph_truce.bottleneck.build import check_names, check_rounds, per_round, task_of, with_aggregator
from langgraph_truce.bottleneck.speak import Role, Speaker, ask, message, question
from langgraph_truce.bottleneck.state import DECIDE, State, Utterance, View

__all__ = [
    "DECIDE",
    "Role",
    "Speaker",
    "State",
    "Utterance",
    "View",
    "ask",
    "check_names",
    "check_rounds",
    "message",
    "per_round",
    "question",
    "task_of",
    "with_aggregator",
]
