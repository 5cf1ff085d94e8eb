"""The simulated critic and optimizer of a planted bottleneck: it judges by what stands in the prompt, with noise."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph_truce.choices import read_choice
from langgraph_truce.testing.planted.bottleneck_play import LETTERS
from langgraph_truce.testing.planted.bottleneck_topics import AGGREGATING, GENERAL_RULES
from langgraph_truce.testing.planted.draws import draw, pick
from langgraph_truce.testing.planted.page import Page, items, rules, steps
from langgraph_truce.testing.planted.reader import Json, Reader
from langgraph_truce.testing.planted.topics import TOPICS, Topic, says

EAGER = 0.8
"""Share of requests for rules that get one although the model has seen nothing: models like to please."""
CONFUSED = 0.1
"""Chance that what another agent did wrong is asked of this one."""
Q_ERROR, Q_LOST, Q_WRONG, Q_PLAIN, Q_SOUND, Q_RIGHT = 0.15, 0.25, 0.35, 0.55, 0.75, 0.9
"""Scores before noise: a symptom is seen; an option from nowhere; the answer that came out wrong; nothing to be seen; a
sound reason; the answer that came out right."""

_ANSWER = re.compile(r"^answer: (.*)", re.MULTILINE)
_PATTERN = re.compile(r"^(?:[-*] )?[`\"]?([A-Z][A-Z_ ]+[A-Z])\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class BottleneckReader(Reader):
    """As `Reader`, and also reads `critic.md`, `peers.md`, `diagnosis.md` and `textual_gradient.md`."""

    critic_noise: float = 0.15
    """Half-width of the even noise on scores."""

    def answer(self, page: Page, key: str) -> Json:
        """The reply to a prompt of the optimizer; an empty object to any other text."""
        kinds = {
            "critic": self._critic,
            "peers": self._peers,
            "diagnosis": self._diagnosis,
            "textual_gradient": self._gradient,
        }
        if page.kind in kinds:
            return kinds[page.kind](page, key)
        return Reader.answer(self, page, key)

    def _topic(self, text: str, length: int, *key: object) -> tuple[Topic, str] | None:
        """The first topic, of roles or aggregators, whose symptom stands in `text` and is noticed."""
        return next(self._topics(text, length, *key), None)

    def _topics(self, text: str, length: int, *key: object) -> Iterator[tuple[Topic, str]]:
        plain = " ".join(text.split())
        for topic in (*TOPICS, *AGGREGATING):
            for symptom in topic.symptoms:
                if symptom in plain and self._noticed(length, *key, topic.name):
                    yield topic, symptom

    def _about(self, score: float, *key: object) -> float:
        """A score with the critic's noise, in [0, 1]."""
        noisy = score + self.critic_noise * (2 * draw(self.seed, "q", *key) - 1)
        return round(min(max(noisy, 0.0), 1.0), 3)

    def _critic(self, page: Page, key: str) -> Json:
        said, closed = page.quoted("Utterances"), page.quoted("Shared state after")
        result, length = page.quoted("Final result"), len(page.text)
        given = [read_choice(text, LETTERS) for _, _, text in steps(said)]
        rows = []
        for step, role, text in steps(said):
            q, words = self._quality(role, text, result, length, f"{key}/{step}")
            rows.append({"step": step, "q": q, "words": words})
        reply: Json = {"utterances": rows}
        for step, role, text in steps(closed):
            q, words = self._quality(role, text, result, length, f"{key}/{step}")
            stands = read_choice(text, LETTERS)
            if given and stands not in given and q > Q_LOST:
                q, words = self._about(Q_LOST, key, step, "lost"), f"{role} carries on what nobody gave."
            reply["aggregate"] = {"step": step, "q": q, "words": words}
        return reply

    def _quality(self, role: str, text: str, result: str, length: int, key: str) -> tuple[float, str]:
        """Q of one text in view of the result, with words."""
        if topic := self._topic(text, length, key):
            return self._about(Q_ERROR, key), f"{role} is wrong, it writes: {topic[1]}."
        found = _ANSWER.search(result)
        final = read_choice(found[1] if found else "", LETTERS)
        same = bool(final) and read_choice(text, LETTERS) == final
        if "score: 1.00" in result:
            return self._about(Q_RIGHT if same else Q_WRONG, key), f"{role} did its part."
        if same:
            return self._about(Q_WRONG, key), f"{role} holds the wrong answer."
        sound = any(t.sound in text for t in (*TOPICS, *AGGREGATING))
        return self._about(Q_SOUND if sound else Q_PLAIN, key), f"{role} did its part."

    def _peers(self, page: Page, key: str) -> Json:
        said = steps(page.quoted("Utterances"))
        rows = []
        for role in dict.fromkeys(r for _, r, _ in said):
            text = " ".join(t for _, r, t in said if r == role)
            p, words = Q_PLAIN, f"The others lost nothing by {role}."
            if topic := self._topic(text, len(page.text), key, role):
                p, words = Q_ERROR, f"{role} led the others astray: {topic[1]}."
            elif any(t.sound in text for t in TOPICS):
                p, words = Q_SOUND, f"The others could build on {role}."
            rows.append({"role": role, "p": self._about(p, key, role), "words": words})
        return {"roles": rows}

    def _diagnosis(self, page: Page, key: str) -> Json:
        names = [n for n in _PATTERN.findall(_all(page, "Patterns")) if n != "NONE"] or ["NONE"]
        states = page.quoted("Final states")
        words = "The wrong answer came out, and nothing in the last round would have prevented it."
        if topic := self._topic(states, len(page.text), key):
            words = f"It went wrong where it says: {topic[1]}."
        name = pick(names, self.seed, "pattern", topic[0].name if topic else key)
        return {"pattern": name, "score": int(3 * draw(self.seed, "diagnosed", key)), "words": words}

    def _gradient(self, page: Page, key: str) -> Json:
        agent = page.quoted("Name and place").splitlines()[0].strip()
        listed, tried = rules(page.quoted("The agent")), page.quoted("Edits of this agent")
        shown = steps(page.quoted("Steps of these runs"))
        mine = [(i, t) for i, role, t in shown if role == agent.partition("@")[0]]
        found: dict[str, tuple[Topic, list[str]]] = {}
        for step, role, text in shown:
            own = role == agent.partition("@")[0]
            for topic, _ in self._topics(text, len(page.text), key, step):
                if own or draw(self.seed, "confused", key, topic.name) < CONFUSED:
                    found.setdefault(topic.name, (topic, []))[1].append(step)
        wanted = []
        for topic, ids in sorted(found.values(), key=lambda f: -len(f[1])):
            if edit := self._repair(topic, listed, tried, key):
                wanted.append({**edit, "reason": "The steps show it.", "evidence": ids})
        wanted += self._pleasing(mine, listed, tried, key) if not wanted else ()
        return {"gradient": f"{agent} should change.", "suggestions": wanted}

    def _pleasing(
        self, mine: Sequence[tuple[str, str]], listed: dict[str, str], tried: str, key: str
    ) -> list[Json]:
        """A rule for the sake of a rule."""
        if draw(self.seed, "eager", key) >= EAGER or not mine:
            return []
        free = [r for r in GENERAL_RULES if r not in tried and r not in listed.values()]
        for _, text in mine:
            if (
                (decoy := self._decoy(text, key))
                and decoy[1] not in tried
                and decoy[1] not in listed.values()
            ):
                free = [decoy[1]]
                break
        rule = {"op": "ADD", "rule": "", "reason": "It would not hurt.", "evidence": [mine[0][0]]}
        return [{**rule, "instruction": pick(free, self.seed, "pleasing", key)}] if free else []

    def _merge(self, page: Page, key: str) -> Json:  # noqa: ARG002 - as the others
        groups: dict[str, list[int]] = {}
        texts = items(page.quoted("Items"))
        for n, text in enumerate(texts):
            topics = (*TOPICS, *AGGREGATING)
            name = next((t.name for t in topics if says(text, t.remedy)), text)
            groups.setdefault(name, []).append(n)
        ranked = sorted(groups.values(), key=lambda g: -len(g))
        top = [
            {"text": texts[g[0]], "support_examples_idx": g, "support_count": len(g), "importance": 5}
            for g in ranked
        ]
        return {"top": top}

    def _rewrite(self, page: Page, key: str) -> Json:  # noqa: ARG002 - as the others
        listed = rules(page.quoted("The agent"))
        learned = page.quoted("What was learned")
        kept = [{"rule": i, "text": t} for i, t in listed.items() if f"DELETE {i}" not in learned]
        helping = [r for t in (*TOPICS, *AGGREGATING) for r in t.remedies if r in learned]
        return {"rules": [*kept, *({"rule": "", "text": r} for r in helping)]}


def _all(page: Page, heading: str) -> str:
    """Everything under a heading, quoted or not."""
    section = page.section(heading)
    return "\n".join([section.free, *section.quoted])


def nonsense(page: Page, good: Json, seed: int, key: str) -> dict[str, Any]:
    """A reply to one of this reader's prompts, in the right form, that says something wrong; empty for other prompts."""
    if page.kind == "critic":
        rows = [{**u, "step": "ghost#1.0"} if n else {**u, "q": 7} for n, u in enumerate(good["utterances"])]
        return {"utterances": rows, "aggregate": {"step": "ghost#1.0", "q": -1, "words": ""}}
    if page.kind == "peers":
        return {"roles": [{**r, "p": 1.7} for r in good["roles"]]}
    if page.kind == "diagnosis":
        return {"pattern": "BAD_WEATHER", "score": 9, "words": "It rained."}
    if page.kind == "textual_gradient":
        harm = pick((*TOPICS, *AGGREGATING), seed, "harm", key).harm_rule
        shown = [i for i, _, _ in steps(page.quoted("Steps of these runs"))]
        wrong = (
            {"op": "ADD", "rule": "", "instruction": harm, "evidence": shown[:1]},
            {"op": "MODIFY", "rule": "r999", "instruction": "Be quick.", "evidence": shown[:1]},
            {"op": "ADD", "rule": "", "instruction": "Be quick.", "evidence": ["ghost/ghost#9.0"]},
            {"op": "REPLACE", "rule": "", "instruction": "Be quick.", "evidence": shown[:1]},
        )
        return {"suggestions": [pick(wrong, seed, "wrong", key)]}
    return {}
