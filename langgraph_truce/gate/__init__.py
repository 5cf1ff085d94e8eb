"""The gate: does the candidate really help? `paired_gate` controls false accepts per run, `on_validation` does not."""

from langgraph_truce.gate.exact import PairedGate, paired_gate
from langgraph_truce.gate.on_validation import OnValidation, on_validation
from langgraph_truce.gate.paired import compare, interval, sign_flip

__all__ = ["OnValidation", "PairedGate", "compare", "interval", "on_validation", "paired_gate", "sign_flip"]
