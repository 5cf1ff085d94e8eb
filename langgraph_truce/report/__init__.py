"""A run in, words out: the terminal report and the progress display."""

from langgraph_truce.report.progress import Progress
from langgraph_truce.report.terminal import RunResult, render, show

__all__ = ["Progress", "RunResult", "render", "show"]
