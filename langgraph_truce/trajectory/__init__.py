"""Trajectories as data: steps, content-addressed contents, segments, files and text."""

from langgraph_truce.trajectory.content import Contents
from langgraph_truce.trajectory.files import read_trajectories, write_trajectories
from langgraph_truce.trajectory.segment import by_agent_block, by_round, by_superstep, whole
from langgraph_truce.trajectory.step import ModelCall, Ref, Segment, Step, Trajectory, Usage
from langgraph_truce.trajectory.transcript import transcript

__all__ = [
    "Contents",
    "ModelCall",
    "Ref",
    "Segment",
    "Step",
    "Trajectory",
    "Usage",
    "by_agent_block",
    "by_round",
    "by_superstep",
    "read_trajectories",
    "transcript",
    "whole",
    "write_trajectories",
]
