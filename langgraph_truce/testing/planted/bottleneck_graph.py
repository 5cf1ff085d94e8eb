"""The planted bottleneck's system: `with_aggregator` over nodes that say what the simulation decides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from langchain_core.messages import HumanMessage, SystemMessage

from langgraph_truce.bind import ainstructions
from langgraph_truce.bind.context import REPLICATE, configurable
from langgraph_truce.bottleneck import DECIDE, View, with_aggregator
from langgraph_truce.testing.planted.bottleneck_play import Play, decision
from langgraph_truce.testing.planted.faults import AGGREGATOR, Fault
from langgraph_truce.testing.planted.graph import Graph, Voice

Cast = Callable[[str, int], Play]
"""(question, replicate) -> how this rollout goes."""
Speaker = Callable[[View], Awaitable[str]]


def build_bottleneck(
    roles: Sequence[str], rounds: int, cast: Cast, faults: Mapping[str, Fault], voice: Voice
) -> Graph:
    """The compiled graph, without saver; `faults` by agent: `ROLE` and `aggregator@t`."""

    def play(view: View) -> Play:
        return cast(str(view["task"]["question"]), int(configurable().get(REPLICATE, 0)))

    def role(name: str) -> Speaker:
        async def speak(view: View) -> str:
            number, fault = view["round"], faults[name]
            rules = await ainstructions(name, round=number)
            text = play(view).utterance(
                name, number, view["shared"], topic=fault.topic, faulty=fault.active(rules)
            )
            return await _say(voice, rules, view, text)

        return speak

    async def aggregate(view: View) -> str:
        number = view["round"]
        fault = faults[f"{AGGREGATOR}@{number}"]
        rules = await ainstructions(AGGREGATOR, round=number)
        text = play(view).aggregate(number, view["utterances"], topic=fault.topic, faulty=fault.active(rules))
        return await _say(voice, rules, view, text)

    async def decide(view: View) -> str:
        return await _say(voice, await ainstructions(DECIDE), view, decision(view["shared"]))

    speakers = {name: role(name) for name in roles}
    return with_aggregator(
        speakers,
        rounds=rounds,
        aggregator=AGGREGATOR,
        aggregate=aggregate,
        decide=decide,
        name="planted_bottleneck",
    )


async def _say(voice: Voice, rules: str, view: View, text: str) -> str:
    """`text`, said by the voice: the call is counted and journalled as a model's."""
    task = view["task"]
    seen = [str(task["question"]), *(f"({k}) {v}" for k, v in task["options"].items()), view["shared"]]
    seen += [f"{role}: {words}" for role, words in view.get("utterances", {}).items()]
    messages = [SystemMessage(rules), HumanMessage("\n".join(filter(None, seen)))]
    return (await voice.ainvoke(messages, said=text)).text
