"""The optimizer: a LangGraph graph that reads run histories, assigns credit and rewrites rules in place."""

from langgraph_truce.optimizer.planning import Plan, PlanRow, plan
from langgraph_truce.optimizer.result import Estimate, Result
from langgraph_truce.optimizer.run import aoptimize, optimize, read_run

__all__ = ["Estimate", "Plan", "PlanRow", "Result", "aoptimize", "optimize", "plan", "read_run"]
