"""Rollouts: run a system on a task, record what happened, read old threads."""

from langgraph_truce.rollout.record import Recorded, record
from langgraph_truce.rollout.thread import aread_thread, read_thread

__all__ = ["Recorded", "aread_thread", "read_thread", "record"]
