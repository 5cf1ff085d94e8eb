"""Contributions: what counts as one, and which share a fork point."""

from __future__ import annotations

from dataclasses import replace

from langgraph_truce.credit.contributions import contributions, worst
from langgraph_truce.testing.batches import make_book, make_rollout, make_rules
from langgraph_truce.trajectory.step import Step, Trajectory

ROW = tuple[str, int, int, int, int, bool]


def history(*rows: ROW) -> Trajectory:
    """Steps of (role, superstep, visit, index, round, calls a model)."""
    call = make_rollout("t", [("x", 1, "hi")], score=0.0).trajectory.steps[0].calls
    return Trajectory(
        "t.0",
        tuple(
            Step(
                f"{role}#{visit}.{index}",
                role,
                at,
                visit,
                index,
                round_,
                None,
                writes={"x": ""},
                calls=call if calls else (),
            )
            for role, at, visit, index, round_, calls in rows
        ),
        {},
    )


def test_a_fan_out_is_one_contribution_and_a_second_visit_another() -> None:
    trail = history(
        ("plan", 1, 1, 0, 1, True),
        ("work", 2, 1, 0, 1, True),
        ("work", 2, 1, 1, 1, True),
        ("work", 3, 2, 0, 1, True),
        ("sum", 4, 1, 0, 1, False),
    )
    found = contributions(trail, make_book(make_rules("sum")))

    assert [c.steps for c in found] == [("plan#1.0",), ("work#1.0", "work#1.1"), ("work#2.0",), ("sum#1.0",)]
    assert [c.round for c in found] == [1, 1, 1, 1]
    assert len({c.point for c in found}) == 4


def test_nodes_without_rules_and_model_calls_contribute_nothing() -> None:
    trail = history(("load", 1, 1, 0, 1, False), ("solve", 2, 1, 0, 1, True))

    assert [c.role for c in contributions(trail, make_book(make_rules("judge")))] == ["solve"]


def test_a_visit_in_which_a_node_did_nothing_is_no_contribution() -> None:
    trail = history(("trim", 1, 1, 0, 1, False), ("trim", 3, 2, 0, 1, False))
    idle = replace(trail, steps=(replace(trail.steps[0], writes={}), trail.steps[1]))

    assert [c.steps for c in contributions(idle, make_book(make_rules("trim")))] == [("trim#2.0",)]


def test_an_agent_contributes_where_its_rules_stand_and_its_interior_does_not() -> None:
    trail = history(
        ("team", 1, 1, 0, 1, False), ("team/model", 1, 1, 0, 1, True), ("team/model", 3, 2, 0, 1, True)
    )

    assert [c.role for c in contributions(trail, make_book(make_rules("team")))] == ["team"]
    inner = contributions(trail, make_book(make_rules("team/model")))
    assert [c.steps for c in inner] == [("team/model#1.0",), ("team/model#2.0",)]


def test_siblings_share_a_fork_point_and_parallel_subgraphs_do_not() -> None:
    trail = history(
        ("left", 1, 1, 0, 1, False),
        ("left/a", 1, 1, 0, 1, True),
        ("left/b", 1, 1, 0, 1, True),
        ("right", 1, 1, 0, 1, False),
        ("right/a", 1, 1, 0, 1, True),
        ("left", 2, 2, 0, 2, False),
        ("left/a", 1, 2, 0, 2, True),
    )
    points = {c.steps[0]: c.point for c in contributions(trail, make_book(make_rules("x")))}

    assert points["left/a#1.0"] == points["left/b#1.0"]
    assert len(set(points.values())) == 3


def test_copies_of_one_subgraph_side_by_side_contribute_apart() -> None:
    trail = history(
        ("team", 1, 1, 0, 1, False),
        ("team/a", 1, 1, 0, 1, True),
        ("team", 1, 1, 1, 1, False),
        ("team/a", 1, 1, 1, 1, True),
    )

    assert [c.steps for c in contributions(trail, make_book(make_rules("x")))] == [
        ("team/a#1.0",),
        ("team/a#1.1",),
    ]


def test_a_graph_called_twice_by_one_node_forks_at_two_points() -> None:
    trail = history(("calc", 1, 1, 0, 1, False), ("calc/m", 1, 1, 0, 1, True), ("calc/m", 1, 2, 0, 1, True))

    assert len({c.point for c in contributions(trail, make_book(make_rules("x")))}) == 2


def test_the_worst_are_chosen_and_ties_are_drawn_by_seed() -> None:
    runs = [make_rollout(f"t{n}", [("a", 1, "x")], score=0.5 * (n < 2)) for n in range(8)]
    picks = {tuple(r.task for r in worst(runs, 3, seed)) for seed in range(10)}

    assert worst(runs, None, 0) == runs
    assert all(not {"t0", "t1"} & set(p) and list(p) == sorted(p) for p in picks)
    assert len(picks) > 1
    assert worst(runs, 3, 4) == worst([*runs], 3, 4)
