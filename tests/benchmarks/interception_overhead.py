"""What interception costs one model call: a prompt of 2 kB with three fields, sent by a node of a subgraph.

The graph runs without interception, with it and no edit, and with it and an edited prompt, in turn within one run, on
a fake model that answers at once; timed is the call in the node alone, so every call has a fresh namespace, as in life.
Medians, `invoke` and `ainvoke`. Target: an edited prompt adds at most 50 microseconds a call.

    python tests/benchmarks/interception_overhead.py [--quick]

Exit 0 where the target holds, 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypedDict

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import START, StateGraph

from langgraph_truce.bind import RunContext, published
from langgraph_truce.bind.found import Prompts, Slot
from langgraph_truce.bind.intercept import intercepting
from langgraph_truce.rules import RuleBook, parse

TARGET = 50.0
"""Microseconds a call."""
RULES = "\n".join(
    f"- Rule {n}: look at the evidence twice before you say a word about it." for n in range(25)
)
PROMPT = f"You are {{name}}, a careful assistant of {{firm}}.\nToday is {{day}}. Obey:\n\n{RULES}\n\nThank you, {{name}}."
WAYS = ("without", "unedited", "edited")
CALLS = ("invoke", "ainvoke")
BLOCK = 20
"""Runs of one way before the next has its turn."""


class State(TypedDict, total=False):
    turn: int


class Instant(BaseChatModel):
    """Answers at once; keeps the last prompt."""

    last: str = ""

    @property
    def _llm_type(self) -> str:
        return "instant"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.last = messages[0].text
        return ChatResult(generations=[ChatGeneration(message=AIMessage("done"))])

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return self._generate(messages)


class Timed:
    """A graph whose inner node calls the model and notes how long the call took."""

    def __init__(self) -> None:
        self.model = Instant()
        self.seconds = 0.0
        self.graphs = {"invoke": _nested(self._node), "ainvoke": _nested(self._anode)}

    async def run(self, call: str, turn: int, config: Any) -> None:
        graph = self.graphs[call]
        if call == "invoke":
            graph.invoke({"turn": turn}, config)
        else:
            await graph.ainvoke({"turn": turn}, config)

    def _messages(self, turn: int) -> list[BaseMessage]:
        system = PROMPT.replace("{name}", f"Ada {turn}").replace("{firm}", "Parcel & Sons")
        history = [HumanMessage("Where is it?"), AIMessage("I look."), HumanMessage(f"Well, {turn}?")]
        return [SystemMessage(system.replace("{day}", "Monday")), *history]

    def _node(self, state: State) -> State:
        messages = self._messages(state["turn"])
        start = time.perf_counter()
        self.model.invoke(messages)
        self.seconds = time.perf_counter() - start
        return {}

    async def _anode(self, state: State) -> State:
        messages = self._messages(state["turn"])
        start = time.perf_counter()
        await self.model.ainvoke(messages)
        self.seconds = time.perf_counter() - start
        return {}


def _nested(node: Any) -> Any:
    inner = StateGraph(State).add_node("solver", node).add_edge(START, "solver").compile()
    return StateGraph(State).add_node("team", inner).add_edge(START, "team").compile()


@contextmanager
def way(name: str, prompts: Prompts, book: RuleBook) -> Iterator[dict[str, Any]]:
    """The config of its runs."""
    with published(book) as version:
        if name == "without":
            yield {"configurable": RunContext(version, "r", "t").configurable()}
            return
        with intercepting(prompts) as seen:
            yield {"configurable": RunContext(version, "r", "t", prompts=prompts.id).configurable()}
    if seen.matched != BLOCK or seen.missed:
        raise RuntimeError(f"matched {seen.matched}, missed {seen.missed}")


async def measure(repeats: int) -> dict[str, dict[str, float]]:
    """Median microseconds of a call, by entry point and way."""
    prompts = Prompts((Slot("team/solver", PROMPT, ("name", "firm", "day")),))
    book = prompts.book
    books = dict.fromkeys(WAYS, book)
    books["edited"] = book.with_agent(parse("team/solver", PROMPT.replace("Rule 7", "Edited rule")))
    timed = Timed()
    times: dict[str, dict[str, list[float]]] = {call: defaultdict(list) for call in CALLS}
    for block in range(-1, repeats // BLOCK):
        for call in CALLS:
            for name in WAYS:
                with way(name, prompts, books[name]) as config:
                    for n in range(BLOCK):
                        await timed.run(call, n, config)
                        if ("Edited rule" in timed.model.last) != (name == "edited"):
                            raise RuntimeError(f"{call}, {name}: the model got the wrong prompt")
                        if block >= 0:  # the first one warms up
                            times[call][name].append(timed.seconds * 1e6)
    return {
        call: {name: statistics.median(found) for name, found in by.items()} for call, by in times.items()
    }


async def main(*, quick: bool) -> int:
    medians = await measure(500 if quick else 4000)
    extra = {}
    for call, by in medians.items():
        bare = by["without"]
        for name in WAYS:
            print(f"{call:8} {name:9} {by[name]:7.1f} us  {by[name] - bare:+6.1f}")
        extra[call] = by["edited"] - bare
    good = all(us <= TARGET for us in extra.values())
    said = ", ".join(f"{us:.1f} us a call of {call}" for call, us in extra.items())
    print(f"an edited prompt adds {said} (at most {TARGET:.0f}): {'holds' if good else 'MISSED'}")
    return 0 if good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer repeats, under a minute")
    sys.exit(asyncio.run(main(quick=parser.parse_args().quick)))
