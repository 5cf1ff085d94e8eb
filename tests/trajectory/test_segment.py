"""Segmenters: every step in exactly one segment, in order, with the rounds it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_truce.rollout.task_runs import TaskRun, in_order
from langgraph_truce.trajectory import Segment, Trajectory, by_agent_block, by_round, by_superstep, whole

SEGMENTERS: list[Callable[[Trajectory], tuple[Segment, ...]]] = [
    by_agent_block,
    by_round,
    by_superstep,
    whole,
]


@st.composite
def runs(draw: Any) -> list[TaskRun]:
    """Supersteps of an outer graph with fan-outs, each task with up to two calls of a subgraph."""
    found: list[TaskRun] = []
    for step in range(1, draw(st.integers(1, 6))):
        for n, name in enumerate(draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=4))):
            outer = (name, f"{step}-{n}")
            found.append(TaskRun((outer,), step, f"~__pregel_push, {n:010d}"))
            for call in range(draw(st.integers(0, 2))):
                for inner in range(1, draw(st.integers(1, 3))):
                    place = (outer, ("x", f"{step}-{n}-{call}-{inner}"))
                    found.append(TaskRun(place, inner, "~__pregel_pull, x", call))
    return found


@given(runs(), st.sampled_from(["", "a", "c/x"]), st.randoms())
def test_segments_partition_the_trajectory_and_keep_its_order(
    tasks: list[TaskRun], aggregator: str, rng: Any
) -> None:
    shuffled = list(tasks)
    rng.shuffle(shuffled)
    steps = in_order(shuffled, aggregator)
    assert steps == in_order(tasks, aggregator)
    assert len({s.id for s in steps}) == len(tasks)
    trajectory = Trajectory("r", steps, {})
    place = {s.id: n for n, s in enumerate(steps)}
    for cut in SEGMENTERS:
        segments = cut(trajectory)
        assert sorted((i for seg in segments for i in seg.steps), key=place.__getitem__) == [
            s.id for s in steps
        ]
        assert len({seg.id for seg in segments}) == len(segments)
        for segment in segments:
            assert list(segment.steps) == sorted(segment.steps, key=place.__getitem__)
            assert list(segment.rounds) == sorted({steps[place[i]].round for i in segment.steps})


@given(runs(), st.sampled_from(["", "a"]))
def test_rounds_never_go_back(tasks: list[TaskRun], aggregator: str) -> None:
    numbers = [s.round for s in in_order(tasks, aggregator)]
    assert numbers == sorted(numbers)
    assert set(numbers) <= set(range(1, max(numbers, default=1) + 1))


def trajectory(*supersteps: str, aggregator: str = "") -> Trajectory:
    tasks = [
        TaskRun(((role, f"{n}{i}"),), n, f"~__pregel_push, {i:010d}")
        for n, roles in enumerate(supersteps, 1)
        for i, role in enumerate(roles)
    ]
    return Trajectory("r", in_order(tasks, aggregator), {})


def test_by_round_with_an_aggregator() -> None:
    segments = by_round(trajectory("ab", "m", "ab", "m", "z", aggregator="m"))
    assert [s.id for s in segments] == ["round-1", "round-2", "round-3"]
    assert segments[1].steps == ("a#2.0", "b#2.0", "m#2.0")
    assert [s.label for s in segments] == ["round 1", "round 2", "round 3"]


def test_what_runs_beside_the_aggregator_is_in_its_round() -> None:
    assert [s.round for s in trajectory("a", "mz", "a", "zm", aggregator="m").steps] == [1, 1, 1, 2, 2, 2]


def test_by_agent_block_joins_a_fan_out_and_repeats() -> None:
    segments = by_agent_block(trajectory("a", "bcb", "c", "c", "a"))
    assert [s.steps for s in segments] == [
        ("a#1.0",),
        ("b#1.0", "b#1.1"),
        ("c#1.0", "c#2.0", "c#3.0"),
        ("a#2.0",),
    ]
    assert [s.label for s in segments] == ["a, visit 1", "b, visit 1", "c, visits 1 to 3", "a, visit 2"]
    assert segments[1].id == "agent-2:b"


def test_by_superstep_keeps_the_interior_with_its_parent() -> None:
    tasks = [
        TaskRun((("t", "1"),), 1, "~t"),
        TaskRun((("t", "1"), ("x", "2")), 1, "~x"),
        TaskRun((("t", "1"), ("x", "3")), 2, "~x"),
        TaskRun((("u", "4"),), 2, "~u"),
    ]
    segments = by_superstep(Trajectory("r", in_order(tasks), {}))
    assert [s.steps for s in segments] == [("t#1.0", "t/x#1.0", "t/x#2.0"), ("u#1.0",)]


@pytest.mark.parametrize("cut", SEGMENTERS)
def test_nothing_ran(cut: Callable[[Trajectory], tuple[Segment, ...]]) -> None:
    assert cut(Trajectory("r", (), {})) == ()
