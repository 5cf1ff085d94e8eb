"""The simulated critic and optimizer model: it reads prompts, finds symptoms, misses more in longer text, has bad days."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig

from langgraph_truce.bind import RunContext, published
from langgraph_truce.credit.replies import CreditReply
from langgraph_truce.credit.verbal import verbal_credit
from langgraph_truce.errors import ModelReplyError
from langgraph_truce.merge import merge_suggestions
from langgraph_truce.model import ask
from langgraph_truce.prompts import load
from langgraph_truce.prompts.quote import quoted
from langgraph_truce.rollout.record import record
from langgraph_truce.seams import Batch, Rollout
from langgraph_truce.suggest.replies import SuggestReply
from langgraph_truce.suggest.verbal import suggest_rules
from langgraph_truce.task import Outcome
from langgraph_truce.testing.planted import PlantedWorld
from langgraph_truce.trajectory import by_round


def credit_prompt(text: str, role: str = "reviewer") -> str:
    """The credit prompt for one step that says `text`."""
    texts = {
        "task_context": "x",
        "global_evaluation": "score: 0.00 of 1",
        "previous_iterations": "",
        "evaluator": "wrong",
        "iteration_content": f"[{role}#1.0] role {role}, round 1\nnotes: {text}",
        "agents": f"- {role}: an agent",
        "rules": "(not known)",
    }
    return load("credit").fill({**quoted(texts, random.Random(0)), "iteration_number": "1 of 1"})


def suggest_prompt(rules: str, words: str) -> str:
    texts = {
        "task_context": "x",
        "result_context": "score: 0.00 of 1",
        "result_evaluation": "wrong",
        "rules": rules,
        "credits": f"- round-1, reviewer, -0.78: {words} [reviewer#1.0]",
        "steps": f"[reviewer#1.0] role reviewer, round 1\nnotes: {words}",
        "history": "",
        "agent": "reviewer",
        "profile": "an agent",
    }
    more = {"performance": "1 step", "at_most": "3"}
    prompt = load("suggest")
    return prompt.fill({**dict.fromkeys(prompt.fields, ""), **quoted(texts, random.Random(0)), **more})


SYMPTOM = "I compared the amounts as they stand, dollars with euros"


async def test_the_critic_blames_the_agent_whose_text_shows_the_symptom() -> None:
    found = 0
    for seed in range(30):
        reply = await ask(PlantedWorld(seed).model, credit_prompt(SYMPTOM), CreditReply)
        (agent,) = reply.agents
        assert (agent.agent, agent.steps) == ("reviewer", ["reviewer#1.0"])
        found += SYMPTOM in agent.words and agent.score <= 3
    assert 20 <= found < 30  # it misses some


async def test_longer_text_is_read_less_carefully() -> None:
    def hits(replies: Sequence[CreditReply]) -> int:
        return sum(r.agents[0].score <= 3 for r in replies)

    filler = " word" * 2500
    short = [await ask(PlantedWorld(s).model, credit_prompt(SYMPTOM), CreditReply) for s in range(30)]
    long = [await ask(PlantedWorld(s).model, credit_prompt(SYMPTOM + filler), CreditReply) for s in range(30)]
    assert hits(long) < hits(short) - 8


async def test_what_is_not_in_the_text_is_not_known() -> None:
    for seed in range(20):
        world = PlantedWorld(seed)  # its faults are active, the prompt says nothing of them
        reply = await ask(world.model, credit_prompt("All fine."), CreditReply)
        assert reply.agents[0].score > 5


async def test_the_suggester_asks_for_the_missing_rule_or_turns_the_harmful_one() -> None:
    added = turned = 0
    for seed in range(20):
        model = PlantedWorld(seed).model
        missing = await ask(model, suggest_prompt("r1: Be polite.", SYMPTOM), SuggestReply)
        added += any(s.op == "ADD" and "euros" in s.instruction for s in missing.suggestions)
        harmful = "r1: Be polite.\nr2: Compare amounts as they stand, whatever their currency."
        reply = await ask(model, suggest_prompt(harmful, SYMPTOM), SuggestReply)
        turned += any(s.op in {"DELETE", "MODIFY"} and s.rule == "r2" for s in reply.suggestions)
        there = await ask(model, suggest_prompt("r1: Convert all amounts to euros.", SYMPTOM), SuggestReply)
        assert not any("euro" in s.instruction for s in there.suggestions)
    assert added > 12
    assert turned > 12


async def test_garbage_is_seeded_partly_unreadable_and_partly_nonsense() -> None:
    unread = wrong = 0
    for n in range(40):
        model = PlantedWorld(n, garbage=1.0).model
        try:
            reply = await ask(model, credit_prompt(SYMPTOM), CreditReply)
        except ModelReplyError:
            unread += 1
        else:
            wrong += reply.agents == [] or reply.agents[0].steps == ["ghost#1.0"]
    assert unread > 5
    assert wrong > 12


async def test_the_same_question_gets_the_same_answer() -> None:
    one, two = PlantedWorld(3, garbage=0.3).model, PlantedWorld(3, garbage=0.3).model
    prompts = [credit_prompt(f"{SYMPTOM} {n}") for n in range(10)]
    first = [(await one.ainvoke(p)).text for p in prompts]
    second = [(await two.ainvoke(p)).text for p in reversed(prompts)]
    assert first == second[::-1]


async def test_an_overloaded_model_comes_back() -> None:
    model = PlantedWorld(1, rate_limits=0.5, timeouts=0.2).model
    errors = 0
    for n in range(20):
        prompt = credit_prompt(f"fine {n}")
        for _ in range(30):
            try:
                await model.ainvoke(prompt)
                break
            except (ConnectionError, TimeoutError):
                errors += 1
        else:
            pytest.fail("it never came back")
    assert errors > 20


class ModelLab:
    """A lab that asks the planted model, for decisions without an optimizer."""

    def __init__(self, world: PlantedWorld) -> None:
        self.world, self.seed, self.has_model = world, world.seed, True
        self.aggregator = world.system.aggregator

    def rng(self, *key: object) -> random.Random:
        return random.Random(repr((self.seed, *key)))

    def about(self, role: str) -> str:
        return self.world.system.about(role)

    async def ask(self, prompt: str, fields: Mapping[str, str], schema: Any, *, purpose: str) -> Any:
        return await ask(self.world.model, load(prompt).fill(fields), schema)

    async def rollouts(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("not asked for here")


async def test_real_decisions_on_real_trajectories_find_the_faults() -> None:
    world = PlantedWorld(2)
    tasks = world.splits(30, 1, 1).train
    rollouts = []
    with published(world.rules) as version:
        for task in tasks:
            name = f"{version}/{task.id}/0"
            context = RunContext(version, name, task.id).configurable()
            run = RunnableConfig(configurable=context, metadata=context)
            done = await record(
                world.graph,
                dict(task.inputs),
                rollout=name,
                config=run,
                aggregator="aggregator",
            )
            said = await world.score(world.system.answer(done.state), task.reference_outputs)
            outcome = Outcome(said, said["score"], said["comment"])
            rollouts.append(Rollout(name, task.id, 0, version, outcome, done.trajectory))
    base = Batch(1, 5, world.rules, {t.id: t for t in tasks}, rollouts=tuple(rollouts))
    lab: Any = ModelLab(world)
    segments = {r.id: by_round(r.trajectory) for r in rollouts}
    batch = Batch(**{**_fields(base), "segments": segments, "targets": tuple(world.rules.agents)})
    credits_, _ = await verbal_credit()(batch, {}, lab)
    batch = Batch(**{**_fields(batch), "credits": credits_})
    wishes, _ = await suggest_rules()(batch, {}, lab)
    top, _ = await merge_suggestions()(Batch(**{**_fields(batch), "suggestions": wishes}), {}, lab)
    for fault in world.planted:
        assert any(s.agent == fault.agent and s.support > 0.05 for s in top), fault


def _fields(batch: Batch) -> dict[str, Any]:
    return {name: getattr(batch, name) for name in batch.__slots__}
