"""Selecting: which agents' rules may be edited now, most urgent first."""

from langgraph_truce.select.blocks import Thresholds, low_credit_blocks
from langgraph_truce.select.ranked import below, every_agent, lowest

__all__ = ["Thresholds", "below", "every_agent", "low_credit_blocks", "lowest"]
