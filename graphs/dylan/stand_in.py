"""A deterministic stand-in for a model: agents with opinions of their own, some of whom follow the others."""

from __future__ import annotations

import re
from collections.abc import Sequence

from langchain_core.messages import BaseMessage

from langgraph_truce.choices import plurality, read_choice
from langgraph_truce.seed import seeded
from langgraph_truce.testing import ScriptedModel

_OPTION = re.compile(r"^\(([A-J])\) ", re.MULTILINE)
_SAID = re.compile(r"^[^>\n]+:\n((?:> .*\n?)+)", re.MULTILINE)
_STUBBORN = 0.5
"""Share of agents that keep to their own opinion."""


def scripted_model() -> ScriptedModel:
    """The stand-in. An opinion is a hash of instructions and question; it knows nothing."""
    return ScriptedModel(replies=_reply)


def _reply(messages: Sequence[BaseMessage]) -> str:
    instructions, asked = str(messages[0].text), str(messages[-1].text)
    question = asked.split("\n\n", maxsplit=1)[0]
    letters = "".join(_OPTION.findall(question))
    said = [read_choice(text, letters, rule="dylan") for text in _SAID.findall(asked)]
    draw = seeded(0, instructions, question)
    own = draw.choice(letters)
    judges = "Judge" in asked  # an agent; ranker, aggregator and decision go by what was said
    if said and not (judges and draw.random() < _STUBBORN):
        own = plurality(said) or own
    if "are best?" in asked:
        return _best(said, own)
    rows = [f"My own field speaks for ({own})."]
    if "double brackets" in asked:
        rows.append(f"[[{', '.join('5' if letter == own else '2' for letter in said)}]]")
    return "\n".join(rows)


def _best(said: Sequence[str], own: str) -> str:
    """The first two answers, those that agree with its own opinion before the others."""
    first = sorted(range(1, len(said) + 1), key=lambda n: said[n - 1] != own)
    return f"[{first[0]}, {first[1]}]"
