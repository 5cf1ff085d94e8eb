"""A debate whose weak prompts are known: each task is broken by one role, by one round's aggregator, or by nobody.

A **simulation** without luck. A weak role that does not CHECK is wrong on its own tasks, where nobody else is right, and with
`loud` on all others too, where the rest of the group makes up for it. An aggregator that does not WEIGH closes its round with a wrong
answer on the tasks of that round, and the roles follow it from there. Critics and optimizer know the tasks as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph_truce.bottleneck import per_round, with_aggregator
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.system import System
from langgraph_truce.task import Splits, Task
from langgraph_truce.testing import ScriptedModel
from langgraph_truce.testing.planted.page import Page, items, read, steps

LETTERS = "ABCD"
FINE = "fine"
CHECK, WEIGH = "CHECK each option.", "WEIGH what was said."
_SAID = re.compile(r"Answer: ([A-D])")
_CASE = re.compile(r"Case (\d+)")
_STEP = re.compile(r"^\[([^\[\]\s]+#\d+\.\d+)\]", re.MULTILINE)


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    right = outputs["answer"] == f"Answer: {reference_outputs['answer']}"
    return {"key": "exact", "score": right, "comment": "" if right else "a wrong option"}


def right_letter(case: int) -> str:
    return LETTERS[case % 4]


def wrong_letter(case: int) -> str:
    return LETTERS[(case + 1) % 4]


@dataclass
class Debate:
    """Roles `role1` ... `roleN` and an aggregator for each of R rounds."""

    roles: int
    rounds: int
    breaks: Sequence[str]
    """What breaks the tasks, in turn: names of roles, numbers of rounds, or `fine`."""
    loud: bool = False
    unshared: bool = False
    """Role prompts of their own for every round (TSCA eq. 9)."""
    model: ScriptedModel = field(init=False)
    critic: ScriptedModel = field(init=False)

    def __post_init__(self) -> None:
        self.model = ScriptedModel(replies=self._speak)
        self.critic = ScriptedModel(replies=self._judge)

    @property
    def names(self) -> list[str]:
        return [f"role{n}" for n in range(1, self.roles + 1)]

    @property
    def aggregators(self) -> list[str]:
        return [f"aggregator@{t}" for t in range(1, self.rounds + 1)]

    @property
    def book(self) -> RuleBook:
        agents = [*self.names, *self.aggregators, "decide"]
        text = "You are {}.\n\n- Answer as you are asked.\n"
        book = RuleBook({name: parse(name, text.format(name.partition("@")[0])) for name in agents})
        return per_round(book, self.names, self.rounds) if self.unshared else book

    def system(self, aggregator: str = "aggregator") -> System:
        return System(
            with_aggregator(dict.fromkeys(self.names), rounds=self.rounds, model=self.model),
            self.book,
            inputs=lambda task: {"task": dict(task)},
            outputs=lambda state: {"answer": state["answer"]},
            aggregator=aggregator,
            calls=self.calls,
        )

    @property
    def calls(self) -> int:
        """Model calls of one rollout."""
        return self.roles * self.rounds + self.rounds + 1

    def splits(self, train: int, validation: int, test: int = 4) -> Splits:
        first = (0, 1000 * len(self.breaks), 2000 * len(self.breaks))
        return Splits(
            *(
                [self._task(a + n) for n in range(m)]
                for a, m in zip(first, (train, validation, test), strict=True)
            )
        )

    def _task(self, case: int) -> Task:
        options = {letter: f"option {n}" for n, letter in enumerate(LETTERS, 1)}
        inputs = {"question": f"Case {case}: which option?", "options": options}
        return Task(f"t{case}", inputs, {"answer": right_letter(case)})

    # The system -------------------------------------------------------------------------------------------------

    def _speak(self, messages: Sequence[Any]) -> str:
        rules, asked = str(messages[0].content), str(messages[1].content)
        who = rules.removeprefix("You are ").partition(".")[0]
        case = int(_CASE.findall(asked)[0])
        said = _SAID.findall(asked)
        if who == "decide":
            return f"Answer: {said[-1]}"
        good = self._closes(rules, asked, case) if who == "aggregator" else self._role(who, rules, said, case)
        return f"Answer: {right_letter(case) if good else wrong_letter(case)}"

    def _role(self, who: str, rules: str, said: Sequence[str], case: int) -> bool:
        broken = self._broken(case)
        if broken in self.names:
            return who == broken and CHECK in rules
        if broken != FINE and said and said[-1] != right_letter(case):
            return False
        return not (self.loud and who in self.breaks and CHECK not in rules)

    def _closes(self, rules: str, asked: str, case: int) -> bool:
        if self._broken(case) in re.findall(r"Said in round (\d+)", asked) and WEIGH not in rules:
            return False
        return right_letter(case) in _SAID.findall(asked)

    def _broken(self, case: int) -> str:
        return self.breaks[case % len(self.breaks)]

    # Its critics ------------------------------------------------------------------------------------------------

    def _judge(self, messages: Sequence[Any]) -> str:
        page = read(str(messages[-1].content))
        answers: dict[str, Callable[[Page], Any]] = {
            "critic": self._critic,
            "peers": self._peers,
            "diagnosis": lambda _: {"pattern": "KNOWLEDGE_DEFICIT", "score": 1, "words": "It was wrong."},
            "textual_gradient": self._gradient,
            "suggest": lambda _: {"contribution": "none", "suggestions": []},
            "merge": lambda p: {
                "top": [
                    {"text": t, "support_examples_idx": [n]} for n, t in enumerate(items(p.quoted("Items")))
                ]
            },
            "write": lambda p: {"text": CHECK if CHECK in p.text else WEIGH},
            "rewrite": lambda p: {"rules": [{"rule": "", "text": CHECK if CHECK in p.text else WEIGH}]},
        }
        return json.dumps(answers[page.kind](page))

    def _critic(self, page: Page) -> dict[str, Any]:
        def judged(transcript: str) -> list[dict[str, Any]]:
            return [
                {"step": i, "q": self._q(page, text), "words": "Seen."} for i, _, text in steps(transcript)
            ]

        closing = judged(page.quoted("Shared state after"))
        return {
            "utterances": judged(page.quoted("Utterances")),
            "aggregate": closing[0] if closing else None,
        }

    def _peers(self, page: Page) -> dict[str, Any]:
        said = steps(page.quoted("Utterances"))
        return {"roles": [{"role": r, "p": self._q(page, text), "words": "Heard."} for _, r, text in said]}

    def _q(self, page: Page, text: str) -> float:
        right = right_letter(int(_CASE.findall(page.text)[0]))
        return 0.9 if right in _SAID.findall(text) else 0.1

    def _gradient(self, page: Page) -> dict[str, Any]:
        rule = WEIGH if page.quoted("Name and place").startswith("aggregator") else CHECK
        cited = _STEP.findall(page.quoted("Steps of these runs"))[:1]
        edit = {
            "op": "MODIFY",
            "rule": "r1",
            "instruction": rule,
            "reason": "It was wrong.",
            "evidence": cited,
        }
        return {"gradient": rule, "suggestions": [edit]}
