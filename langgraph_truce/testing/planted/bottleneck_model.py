"""The planted bottleneck's chat model: its reader behind LangChain's interface, with garbage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import BaseMessage

from langgraph_truce.rules.rule import content_hash
from langgraph_truce.testing.planted.bottleneck_reader import BottleneckReader, nonsense
from langgraph_truce.testing.planted.draws import draw, pick
from langgraph_truce.testing.planted.page import Page, read
from langgraph_truce.testing.scripted import ScriptedModel

_READABLE = 0.5
"""Share of garbage that can be read: nonsense in the right form."""


@dataclass(frozen=True, slots=True)
class _Replies:
    """Answers messages; the same messages get the same answer."""

    reader: BottleneckReader
    garbage: float
    """Share of replies that are garbage."""

    def __call__(self, messages: Sequence[BaseMessage]) -> str:
        texts = [m.text for m in messages]
        key, seed = content_hash("\x1e".join(texts)), self.reader.seed
        page = next((p for p in map(read, texts) if p.kind), Page("", "", ()))
        good = self.reader.answer(page, key)
        if draw(seed, "garbage", key) >= self.garbage:
            return json.dumps(good)
        if draw(seed, "readable", key) < _READABLE:
            return json.dumps(nonsense(page, good, seed, key))
        text = json.dumps(good)
        broken = (text[: len(text) // 2], "I am sorry, I cannot help with that.", "", "[]", "score: high")
        return pick(broken, seed, "broken", key)


def bottleneck_model(seed: int, garbage: float, critic_noise: float) -> ScriptedModel:
    """A chat model that plays critic, diagnosis and optimizer from the text of the prompt alone.

    Args:
        seed: the world's.
        garbage: share of garbage among its replies, in [0, 1].
        critic_noise: half-width of the even noise on its scores.
    """
    reader = BottleneckReader(seed, critic_noise=critic_noise)
    return ScriptedModel(replies=_Replies(reader, garbage), model_name="planted", temperature=0.0)
