"""The offline method: credit from the agents' own answers, suggestions from contrast; no critic model at all."""

from __future__ import annotations

from langgraph_truce.credit import answer_credit
from langgraph_truce.gate import sequential_gate
from langgraph_truce.merge import merge_suggestions
from langgraph_truce.methods.truce import trials_of
from langgraph_truce.seams import Gate, Method
from langgraph_truce.segment import segment_each
from langgraph_truce.select import every_agent
from langgraph_truce.suggest import contrast
from langgraph_truce.trajectory import by_round
from langgraph_truce.write import write_edits


def offline(
    *,
    iterations: int = 1,
    top_k: int = 10,
    sample: int | None = None,
    words: int = 6,
    examples: int = 1,
    gate: Gate | None = None,
) -> Method:
    """TRUCE's loop with steps that ask no model: answer credit, contrast, support over tasks, the same gate.

    For tasks whose reference names the fields that the agents answer. Train rollouts of unchanged rules are read again.

    Args:
        iterations: K.
        top_k: Suggestions of the joint candidate.
        sample: Train tasks drawn per iteration; None takes all.
        words: Telling words of one instruction.
        examples: Worked examples per agent and value of its last choice field.
        gate: What decides on the joint candidate; default `sequential_gate` on the whole set, without pruning and halving: every
            further candidate costs a run over the validation tasks.
    """
    gate = gate or sequential_gate(prune=False, halve=False)
    return Method(
        name="offline",
        segment=segment_each(by_round),
        credit=answer_credit(),
        select=every_agent(),
        suggest=contrast(words=words, examples=examples),
        merge=merge_suggestions(top_k=top_k, by_model=False),
        write=write_edits(by_model=False),
        gate=gate,
        iterations=iterations,
        sample=sample,
        reuse=True,
        trials=trials_of(gate),
        settings={"top_k": top_k, "words": words, "examples": examples},
    )
