"""Rollouts: run a system on a task, record what happened, read old threads, fork and replay."""

from langgraph_truce.rollout.history import Thread, aread_history, read_history
from langgraph_truce.rollout.history_open import open_saver
from langgraph_truce.rollout.record import Recorded, record
from langgraph_truce.rollout.replay import ReplayOptions, areplay, replay
from langgraph_truce.rollout.thread import aread_thread, read_thread

__all__ = [
    "Recorded",
    "ReplayOptions",
    "Thread",
    "aread_history",
    "aread_thread",
    "areplay",
    "open_saver",
    "read_history",
    "read_thread",
    "record",
    "replay",
]
