"""The gate: does the candidate really help?

`sequential_gate` and `paired_gate` control false accepts per run, `margin_gate` is TRUCE's own rule with its constants put
right, `on_validation` controls nothing.
"""

from langgraph_truce.gate.exact import PairedGate, paired_gate
from langgraph_truce.gate.margin import MarginGate, margin_beta, margin_gate, margin_sample_size
from langgraph_truce.gate.on_validation import OnValidation, on_validation
from langgraph_truce.gate.paired import compare, interval, sign_flip
from langgraph_truce.gate.sequential import SequentialGate, sequential_gate

__all__ = [
    "MarginGate",
    "OnValidation",
    "PairedGate",
    "SequentialGate",
    "compare",
    "interval",
    "margin_beta",
    "margin_gate",
    "margin_sample_size",
    "on_validation",
    "paired_gate",
    "sequential_gate",
    "sign_flip",
]
