"""A run or stored threads in, words out: one HTML page, the terminal and credit reports, the progress display."""

from langgraph_truce.report.credit import CreditReport
from langgraph_truce.report.credit_text import render_credit, show_credit
from langgraph_truce.report.progress import Progress
from langgraph_truce.report.stored import credit_threads
from langgraph_truce.report.story import Story
from langgraph_truce.report.terminal import render, show

__all__ = [
    "CreditReport",
    "Progress",
    "Story",
    "credit_threads",
    "render",
    "render_credit",
    "show",
    "show_credit",
]
