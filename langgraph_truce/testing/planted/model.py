"""The planted world's chat model: the simulated reader behind LangChain's interface, with its bad days."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage

from langgraph_truce.rules.rule import content_hash
from langgraph_truce.testing.planted.draws import draw, pick
from langgraph_truce.testing.planted.page import Page, read, rules, steps
from langgraph_truce.testing.planted.play import Overloaded
from langgraph_truce.testing.planted.reader import Reader
from langgraph_truce.testing.planted.topics import TOPICS
from langgraph_truce.testing.scripted import ScriptedModel

_READABLE = 0.5
"""Share of garbage that can be read: nonsense in the right form."""


@dataclass
class Moods:
    """Answers messages; the same messages get the same answer, 429s and time-outs aside, which a retry outlives."""

    reader: Reader
    garbage: float
    """Share of replies that are garbage."""
    rate_limits: float
    """Share of calls that meet a 429."""
    timeouts: float
    """Share of calls that time out."""
    _met: Counter[str] = field(default_factory=Counter)

    def __call__(self, messages: Sequence[BaseMessage]) -> str | BaseException:
        """A JSON text, garbage, or the error to raise."""
        texts = [m.text for m in messages]
        key = content_hash("\x1e".join(texts))
        seed, attempt = self.reader.seed, self._met[key]
        self._met[key] += 1
        trouble = draw(seed, "trouble", key, attempt)
        if trouble < self.rate_limits:
            return Overloaded()
        if trouble < self.rate_limits + self.timeouts:
            return TimeoutError("the model took too long (planted)")
        page = next((p for p in map(read, texts) if p.kind), Page("", "", ()))
        good = self.reader.answer(page, key)
        if draw(seed, "garbage", key) >= self.garbage:
            return json.dumps(good)
        if draw(seed, "readable", key) < _READABLE:
            return json.dumps(_nonsense(page, good, seed, key))
        text = json.dumps(good)
        broken = (text[: len(text) // 2], "I am sorry, I cannot help with that.", "", "[]", "score: high")
        return pick(broken, seed, "broken", key)


def planted_model(reader: Reader, *, garbage: float, rate_limits: float, timeouts: float) -> ScriptedModel:
    """A chat model that plays critic, suggester, merger and writer from the text of the prompt alone."""
    return ScriptedModel(
        replies=Moods(reader, garbage, rate_limits, timeouts), model_name="planted", temperature=0.0
    )


def _nonsense(page: Page, good: dict[str, Any], seed: int, key: str) -> dict[str, Any]:
    """A reply in the right form that says something wrong."""
    if page.kind == "suggest":
        return _wrong_suggestions(page, seed, key)
    if page.kind == "credit":
        agents = [
            {**a, "score": 1 + int(9 * draw(seed, "score", key, a["agent"])), "steps": ["ghost#1.0"]}
            for a in good["agents"]
        ]
        return {**good, "agents": agents}
    if page.kind == "merge":
        return {"top": [{"text": "Do better.", "support_examples_idx": [0, 99], "support_count": 7}]}
    if page.kind == "write":
        return {"text": "Answer in verse."}
    return {"rules": []}


def _wrong_suggestions(page: Page, seed: int, key: str) -> dict[str, Any]:
    ids = [i for i, _, _ in steps(page.quoted("How it has done", 1))]
    listed = list(rules(page.quoted("The agent"))) or ["r1"]
    topic = pick(TOPICS, seed, "nonsense", key)
    wrong = (
        {"op": "ADD", "rule": "", "instruction": "Answer in verse.", "evidence": ids[:1]},
        {"op": "ADD", "rule": "", "instruction": topic.harm_rule, "evidence": ids[:1]},
        {"op": "DELETE", "rule": pick(listed, seed, "victim", key), "instruction": "", "evidence": ids[:1]},
        {"op": "MODIFY", "rule": "r999", "instruction": "Be quick.", "evidence": ids[:1]},
        {"op": "ADD", "rule": "", "instruction": "Be quick.", "evidence": ["ghost#9.0"]},
        {"op": "REPLACE", "rule": "", "instruction": "Be quick.", "evidence": ids[:1]},
    )
    return {"suggestions": [pick(wrong, seed, "wrong", key)]}
