"""The simulated critic of the planted bottleneck: it judges by the text of the prompt, with noise, misses and garbage."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from pydantic import BaseModel

from langgraph_truce.credit.critic_replies import CriticReply, DiagnosisReply, PeersReply
from langgraph_truce.credit.diagnosis import PATTERNS
from langgraph_truce.errors import ModelReplyError
from langgraph_truce.model import ask
from langgraph_truce.prompts import load
from langgraph_truce.prompts.quote import quoted
from langgraph_truce.suggest.replies import GradientReply
from langgraph_truce.testing import ScriptedModel
from langgraph_truce.testing.planted.bottleneck_model import bottleneck_model

SEEDS = range(20)
SYMPTOM = "I compared the amounts as they stand, dollars with euros"
LOST = "I kept what the smallest group holds"
REMEDY = "Convert every amount to euros before you compare amounts."
HARM = "Compare amounts as they stand, whatever their currency."


def model_of(seed: int, garbage: float = 0.0) -> ScriptedModel:
    """The model of a world, without its graph."""
    return bottleneck_model(seed, garbage, 0.15)


def step(role: str, text: str, run: str = "") -> str:
    return f"[{run}{role}#1.0] role {role}, round 1\n{text}"


def prompt(name: str, texts: Mapping[str, str], **plain: str) -> str:
    """A filled prompt; places that are not named are empty."""
    template = load(name)
    return template.fill({**dict.fromkeys(template.fields, ""), **quoted(texts, random.Random(0)), **plain})


def round_prompt(
    said: str, closed: str = "(B) stands. Still open: B.", result: str = "score: 0.00 of 1"
) -> str:
    utterances = (
        f"{step('reviewer', said)}\n\n{step('editor', '(B) is my answer. I worked the question out.')}"
    )
    texts = {"utterances": utterances, "aggregate": step("aggregator", closed), "global_evaluation": result}
    return prompt("critic", texts)


def gradient_prompt(rules: str, said: str, agent: str = "reviewer") -> str:
    texts = {"agent": agent, "rules": rules, "steps": step("reviewer", said, "run/"), "history": ""}
    return prompt("textual_gradient", texts, at_most="3")


async def scores(text: str, place: int = 0) -> list[float]:
    """q of one utterance in many worlds without garbage."""
    replies = [await ask(model_of(s), text, CriticReply) for s in SEEDS]
    return [r.utterances[place].q for r in replies]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


async def test_a_symptom_scores_low_and_a_missed_one_does_not() -> None:
    plain = await scores(round_prompt("(C) is my answer. It is so."))
    shown = await scores(round_prompt(f"(C) is my answer. {SYMPTOM}."))
    assert mean(shown) < mean(plain) - 0.2
    assert max(shown) > 0.4  # it misses some
    assert len(set(plain)) > 10  # noise
    assert all(0 <= q <= 1 for q in (*plain, *shown))


async def test_the_answer_that_came_out_wrong_is_not_excused() -> None:
    text = round_prompt("(C) is my answer.", result="score: 0.00 of 1\nanswer: (B) is the answer.")
    assert mean(await scores(text, 1)) < mean(await scores(text, 0)) - 0.1
    solved = round_prompt("(C) is my answer.", result="score: 1.00 of 1\nanswer: (B) is the answer.")
    assert mean(await scores(solved, 1)) > mean(await scores(solved, 0)) + 0.3


async def test_an_aggregate_that_nobody_gave_or_with_a_symptom_scores_low() -> None:
    async def closing(text: str) -> float:
        models = [model_of(s) for s in SEEDS]
        replies = [await ask(m, round_prompt("(C) is my answer.", text), CriticReply) for m in models]
        return mean([r.aggregate.q for r in replies if r.aggregate])

    kept = await closing("(B) stands after round 1. Still open: B.")
    assert await closing("(D) stands after round 1. Still open: D.") < kept - 0.2
    assert await closing(f"(B) stands after round 1. Still open: B. {LOST}.") < kept - 0.2


async def test_the_peer_view_names_every_role_and_marks_who_led_astray() -> None:
    text = prompt("peers", {"utterances": f"{step('reviewer', SYMPTOM)}\n\n{step('editor', 'Fine.')}"})
    replies = [await ask(model_of(s), text, PeersReply) for s in SEEDS]
    assert all([c.role for c in r.roles] == ["reviewer", "editor"] for r in replies)
    assert mean([r.roles[0].p for r in replies]) < mean([r.roles[1].p for r in replies]) - 0.2


async def test_a_diagnosis_names_a_pattern_of_the_prompt() -> None:
    listed = "\n".join(f"- `{name}`: {words}." for name, words in PATTERNS.items())
    text = prompt("diagnosis", {"final_states": step("aggregator", LOST)}, patterns=listed)
    replies = [await ask(model_of(s), text, DiagnosisReply) for s in SEEDS]
    assert {r.pattern for r in replies} <= PATTERNS.keys()
    assert len({r.pattern for r in replies}) > 2
    assert all(0 <= r.score <= 5 for r in replies)


async def test_the_gradient_adds_the_missing_rule_turns_the_harmful_one_and_else_wants_to_please() -> None:
    added = turned = pleased = 0
    for seed in SEEDS:
        model = model_of(seed)
        missing = await ask(model, gradient_prompt("r1: Be polite.", SYMPTOM), GradientReply)
        added += any(s.op == "ADD" and "euros" in s.instruction for s in missing.suggestions)
        harmful = await ask(model, gradient_prompt(f"r1: Be polite.\nr2: {HARM}", SYMPTOM), GradientReply)
        turned += any(s.op in {"DELETE", "MODIFY"} and s.rule == "r2" for s in harmful.suggestions)
        there = await ask(model, gradient_prompt(f"r1: {REMEDY}", SYMPTOM), GradientReply)
        assert not any("euro" in s.instruction for s in there.suggestions)
        nothing = await ask(model, gradient_prompt("r1: Be polite.", "(B) is my answer."), GradientReply)
        pleased += len(nothing.suggestions)
        assert all(s.evidence == ["run/reviewer#1.0"] for s in (*missing.suggestions, *nothing.suggestions))
    assert added > 8
    assert turned > 8
    assert 10 < pleased < 20


async def test_what_another_agent_did_is_seldom_asked_of_this_one() -> None:
    models = [model_of(s) for s in range(40)]
    text = gradient_prompt("r1: Be polite.", SYMPTOM, agent="aggregator@2")
    replies = [await ask(m, text, GradientReply) for m in models]
    confused = sum(any("euro" in s.instruction for s in r.suggestions) for r in replies)
    assert 0 < confused < 10


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("critic", CriticReply),
        ("peers", PeersReply),
        ("diagnosis", DiagnosisReply),
        ("textual_gradient", GradientReply),
    ],
)
async def test_garbage_is_seeded_partly_unreadable_and_partly_wrong(
    name: str, schema: type[BaseModel]
) -> None:
    texts = {
        "utterances": step("reviewer", SYMPTOM),
        "steps": step("reviewer", SYMPTOM, "run/"),
        "agent": "reviewer",
    }
    fields = load(name).fields
    text = prompt(name, {k: v for k, v in texts.items() if k in fields})
    unread = wrong = 0
    for seed in range(40):
        one, two = (model_of(seed, 1.0) for _ in range(2))
        assert (await one.ainvoke(text)).text == (await two.ainvoke(text)).text
        good = (await model_of(seed).ainvoke(text)).text
        try:
            wrong += (await ask(one, text, schema)).model_dump_json() != schema.model_validate_json(
                good
            ).model_dump_json()
        except ModelReplyError:
            unread += 1
    assert unread > 5
    assert wrong > 12
