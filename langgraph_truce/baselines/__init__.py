"""Other prompt optimizers on the real libraries, over the same systems, tasks, journal and budget: columns to compare with."""

from __future__ import annotations

from langgraph_truce.baselines.mipro import amipro, mipro

__all__ = ["amipro", "mipro"]
