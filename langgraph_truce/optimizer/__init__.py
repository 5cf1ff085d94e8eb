"""The optimizer: a LangGraph graph that reads run histories, assigns credit and rewrites rules in place."""

from langgraph_truce.model import Patience
from langgraph_truce.optimizer.ablated import Ablation, AblationPlan, read_ablation
from langgraph_truce.optimizer.ablation import aablation, aablation_plan, ablation, ablation_plan
from langgraph_truce.optimizer.history import Ledger, aread_ledger, read_ledger
from langgraph_truce.optimizer.noise import Measured, anoise, noise, read_noise
from langgraph_truce.optimizer.planning import Plan, PlanRow, plan
from langgraph_truce.optimizer.reasons import Why, awhy, why
from langgraph_truce.optimizer.result import Estimate, Result
from langgraph_truce.optimizer.reverting import Recheck, Reverted, arevert, revert
from langgraph_truce.optimizer.run import aoptimize, optimize, read_run
from langgraph_truce.optimizer.served import served
from langgraph_truce.optimizer.settings import Run

__all__ = [
    "Ablation",
    "AblationPlan",
    "Estimate",
    "Ledger",
    "Measured",
    "Patience",
    "Plan",
    "PlanRow",
    "Recheck",
    "Result",
    "Reverted",
    "Run",
    "Why",
    "aablation",
    "aablation_plan",
    "ablation",
    "ablation_plan",
    "anoise",
    "aoptimize",
    "aread_ledger",
    "arevert",
    "awhy",
    "noise",
    "optimize",
    "plan",
    "read_ablation",
    "read_ledger",
    "read_noise",
    "read_run",
    "revert",
    "served",
    "why",
]
