"""The simulated critic and optimizer model: it reads the prompt, notices symptoms, and misses more in longer text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from langgraph_truce.testing.planted.draws import draw, pick
from langgraph_truce.testing.planted.page import Page, items, rules, steps
from langgraph_truce.testing.planted.topics import DECOYS, TOPICS, Topic, says

Json = dict[str, Any]

_FOOLED = 0.15
"""Share of decoy symptoms that it takes for a fault."""


@dataclass(frozen=True, slots=True)
class Reader:
    """How well the model reads; every chance is keyed by the whole text it was given."""

    seed: int
    sharpness: float = 0.9
    """Chance to notice a symptom in a very short text."""
    attention: float = 8_000
    """Characters of text over which that chance falls to a third."""

    def answer(self, page: Page, key: str) -> Json:
        """The reply to a prompt of the optimizer; an empty object to any other text."""
        kinds = {
            "credit": self._credit,
            "suggest": self._suggest,
            "merge": self._merge,
            "write": self._write,
            "rewrite": self._rewrite,
        }
        return kinds[page.kind](page, key) if page.kind in kinds else {}

    def _noticed(self, length: int, *key: object) -> bool:
        """True where a symptom is noticed in a text of so many characters."""
        return draw(self.seed, "notice", *key) < self.sharpness * math.exp(-length / self.attention)

    def _topic(self, text: str, length: int, *key: object) -> tuple[Topic, str] | None:
        """The first topic whose symptom stands in `text` and is noticed, with the symptom."""
        plain = " ".join(text.split())
        found = ((t, s) for t in TOPICS for s in t.symptoms if s in plain)
        return next(((t, s) for t, s in found if self._noticed(length, *key, t.name)), None)

    def _decoy(self, text: str, *key: object) -> tuple[str, str] | None:
        """The first decoy in `text` that it falls for: symptom and rule."""
        found = (d for d in DECOYS if d[0] in text)
        return next((d for d in found if draw(self.seed, "fooled", *key, d[0]) < _FOOLED), None)

    def _credit(self, page: Page, key: str) -> Json:
        segment = page.quoted("This segment")
        solved = page.quoted("Final result").startswith("score: 1.00")
        agents: list[Json] = []
        for role in _listed(page.quoted("Agents that act")):
            own = [(i, text) for i, r, text in steps(segment) if r == role]
            if own:
                agents.append(self._agent(role, own, segment, key) | ({"score": 7} if solved else {}))
        lowest = min((a["score"] for a in agents), default=5)
        part = {"score": lowest, "analysis": "As the agents' notes show."}
        return {
            "iteration_progress": part,
            "agent_coordination": {"score": 6, "analysis": "The aggregator carried on what it was given."},
            "stage_appropriateness": part,
            "agents": agents,
        }

    def _agent(self, role: str, own: list[tuple[str, str]], segment: str, key: str) -> Json:
        for step, text in own:
            if topic := self._topic(text, len(segment), key, role, step):
                words = f"{role} caused it, it writes: {topic[1]}."
                return {"agent": role, "score": 2, "words": words, "steps": [step]}
            if decoy := self._decoy(text, key, role, step):
                words = f"{role} is weak in form, it writes: {decoy[0]}."
                return {"agent": role, "score": 4, "words": words, "steps": [step]}
        words = f"{role} did its part."
        return {"agent": role, "score": 6, "words": words, "steps": [own[0][0]]}

    def _suggest(self, page: Page, key: str) -> Json:
        credits_, transcript = page.quoted("How it has done"), page.quoted("How it has done", 1)
        listed = rules(page.quoted("The agent"))
        tried = page.quoted("Edits of this agent")
        ids = [i for i, _, _ in steps(transcript)]
        text, others = f"{credits_}\n{transcript}", page.quoted("How it has done", 2)
        wanted: list[Json] = []
        if topic := self._topic(text, len(text) + len(others), key):
            wanted.append(self._repair(topic[0], listed, tried, key))
        if (decoy := self._decoy(text, key)) and decoy[1] not in tried and decoy[1] not in listed.values():
            wanted.append({"op": "ADD", "rule": "", "instruction": decoy[1]})
        reason = "The notes show it."
        edits = [{**w, "reason": reason, "evidence": ids[:1]} for w in wanted if w]
        return {"contribution": "its note", "suggestions": edits}

    def _repair(self, topic: Topic, listed: dict[str, str], tried: str, key: str) -> Json:
        """What would put a topic right under these rules: the harmful rule goes or is turned, else the helping rule comes."""
        wording = pick(topic.remedies, self.seed, "wording", key, topic.name)
        for rule_id, text in listed.items():
            if says(text, topic.harm):
                if draw(self.seed, "turn", key, topic.name) < 0.3:  # noqa: PLR2004 - most would drop it
                    return {"op": "MODIFY", "rule": rule_id, "instruction": wording}
                return {"op": "DELETE", "rule": rule_id, "instruction": "It makes the agent do it wrong."}
        if wording in tried or any(says(text, topic.remedy) for text in listed.values()):
            return {}
        return {"op": "ADD", "rule": "", "instruction": wording}

    def _merge(self, page: Page, key: str) -> Json:  # noqa: ARG002 - as the others
        groups: dict[str, list[int]] = {}
        texts = items(page.quoted("Items"))
        for n, text in enumerate(texts):
            topic = next((t.name for t in TOPICS if says(text, t.remedy)), text)
            groups.setdefault(topic, []).append(n)
        ranked = sorted(groups.values(), key=lambda g: -len(g))
        top = [
            {"text": texts[g[0]], "support_examples_idx": g, "support_count": len(g), "importance": 5}
            for g in ranked
        ]
        return {"top": top}

    def _write(self, page: Page, key: str) -> Json:  # noqa: ARG002 - as the others
        return {"text": page.quoted("The change", 1) or page.quoted("The change")}

    def _rewrite(self, page: Page, key: str) -> Json:  # noqa: ARG002 - as the others
        listed = rules(page.quoted("The agent"))
        learned = page.quoted("What was learned")
        kept = [{"rule": i, "text": t} for i, t in listed.items() if f"DELETE {i}" not in learned]
        new = [{"rule": "", "text": r} for t in TOPICS for r in t.remedies if r in learned]
        return {"rules": [*kept, *new]}


def _listed(listing: str) -> list[str]:
    """Agents named one a line: `- name` or `- name: about`."""
    return [line[2:].split(":")[0].strip() for line in listing.splitlines() if line.startswith("- ")]
