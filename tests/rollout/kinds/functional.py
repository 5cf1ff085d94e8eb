"""The functional API."""

from __future__ import annotations

import asyncio
from typing import Any

from langgraph.func import entrypoint, task
from langgraph.types import RetryPolicy

from tests.rollout.kinds.kind import Kind
from tests.rollout.kinds.shapes import build_messages, note


def build_pipeline(model: Any) -> Any:
    """Tasks one after the other and side by side, sync and async, one retried."""
    tries: list[int] = []

    @task
    async def draft(text: str) -> str:
        return str((await note(model, "draft")({"task": text}))["notes"][0])

    def count(text: str) -> int:
        return len(text.split())

    async def flaky(text: str) -> str:
        tries.append(1)
        if len(tries) % 2:
            raise ConnectionError("lost")
        return text

    named: Any = task(name="count_words")
    counts = named(count)
    retried: Any = task(retry_policy=RetryPolicy(initial_interval=0.001))
    tried = retried(flaky)

    @entrypoint()
    async def flow(given: dict[str, Any]) -> dict[str, Any]:
        drafts = await asyncio.gather(*(draft(item) for item in given["items"]))
        words = [counts(text) for text in drafts]
        return {"words": [await w for w in words], "last": await tried(drafts[-1])}

    return flow


def build_final(model: Any) -> Any:
    """`entrypoint.final` saves another value than it returns; `previous` is None in a fresh thread."""

    @entrypoint()
    async def flow(text: str, *, previous: Any = None) -> Any:
        said = (await note(model, f"after {previous}")({"task": text}))["notes"][0]
        return entrypoint.final(value=said, save={"kept": said})

    return flow


def build_flow_over_graph(model: Any) -> Any:
    """An entrypoint that calls a graph, and a task that calls it."""
    graph = build_messages(model)

    @task
    async def again(text: str) -> str:
        return str((await graph.ainvoke({"messages": [("user", text)]}))["messages"][-1].text)

    @entrypoint()
    async def flow(text: str) -> str:
        state = await graph.ainvoke({"messages": [("user", text)]})
        return await again(state["messages"][-1].text)

    return flow


FUNCTIONAL = (
    Kind(
        build_pipeline,
        lambda: {"items": ["a", "b"]},
        "flow#1.0@1 flow/draft#1.0@1 flow/draft#1.1@1 flow/count_words#1.0@1 flow/count_words#1.1@1 "
        "flow/flaky#1.0@1",
        2,
    ),
    Kind(build_final, lambda: "why?", "flow#1.0@1", 1),
    Kind(
        build_flow_over_graph,
        lambda: "why?",
        "flow#1.0@1 flow/writer#1.0@1 flow/editor#1.0@1 "
        "flow/again#1.0@1 flow/again/writer#1.0@1 flow/again/editor#1.0@1",
        4,
    ),
)
