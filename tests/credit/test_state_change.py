"""State-change credit: the round where an error entered is blamed, not the one where it showed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_truce.credit import state_change_credit
from langgraph_truce.credit.lookahead import traced, words_of, wrong_words
from langgraph_truce.errors import UserMistake
from langgraph_truce.seams import Credit, Rollout
from langgraph_truce.task import Task
from langgraph_truce.testing.batches import make_batch, make_book, make_rules
from langgraph_truce.testing.lab import FakeLab
from langgraph_truce.trajectory.states import RoundState

BOOK = make_book(make_rules("ann"), make_rules("bob"), make_rules("agg"))
LATE = {"bob#1.0": "bob is sure it is K-99", "agg#3.0": "so it must be K-99", "end#1.0": "K-99"}


async def credited(
    *runs: Rollout, tasks: dict[str, Task] | None = None, **settings: Any
) -> tuple[Credit, ...]:
    batch = make_batch(BOOK, runs, tasks=tasks)
    return (await state_change_credit(**settings)(batch, {}, FakeLab()))[0]


def by_round(credits_: tuple[Credit, ...]) -> dict[int | None, float]:
    return {c.round: c.value for c in credits_ if not c.role and c.value is not None}


async def test_the_round_where_the_error_entered_is_blamed(debate: Any) -> None:
    values = by_round(found := await credited(debate(says=LATE)))

    assert values == {1: -1.0, 2: 0.0, 3: 0.0, 4: 0.0}
    first = next(c for c in found if not c.role and c.round == 1)
    assert first.details["words"] == ["k-99"]
    assert "'k-99' of the wrong outcome entered here" in first.words
    assert first.steps == ("ann#1.0", "bob#1.0", "cyd#1.0", "agg#1.0")


async def test_the_role_that_brought_it_in_is_named(debate: Any) -> None:
    roles = [c for c in await credited(debate(says=LATE)) if c.role]

    assert [(c.role, c.round, c.steps, c.value) for c in roles] == [("bob", 1, ("bob#1.0",), -1.0)]


@pytest.mark.parametrize(("lookahead", "blamed"), [(0, 4), (1, 4), (2, 4), (3, 1), (9, 1), (None, 1)])
async def test_lookahead_bounds_how_far_back_blame_reaches(
    debate: Any, lookahead: int | None, blamed: int
) -> None:
    values = by_round(await credited(debate(says=LATE), lookahead=lookahead))

    assert min(values, key=lambda r: (values[r], r or 0)) == blamed


async def test_partly_solved_tasks_are_blamed_less_and_solved_ones_not_at_all(debate: Any) -> None:
    half, none = debate("t1", 0.5, says=LATE), debate("t2", 1.0, says=LATE)
    found = await credited(half, none)

    assert {c.task for c in found} == {"t1"}
    assert by_round(found)[1] == -0.5


async def test_words_of_the_task_and_of_the_reference_are_no_error(debate: Any) -> None:
    run = debate(says=LATE, result={"value": "K-1 then K-99 by Friday"})
    task = Task("t1", {"question": "by friday?"}, {"value": "K-1 then K-7"})

    assert wrong_words(run, task) == {"k-99"}


async def test_progress_that_came_to_nothing_does_not_excuse_a_round(debate: Any) -> None:
    """Without content to trace: round 1 looked like progress, and all of it was gone at the end."""
    run = debate(rounds=2)
    run = replace(run, outcome=replace(run.outcome, result=None, progress={"1": 0.9, "2": 0.1, "3": 0.1}))

    near = by_round(await credited(run, lookahead=0))
    far = by_round(await credited(run))

    assert near[1] > near[2]
    assert far[1] < near[1]
    assert far[1] == pytest.approx(9 * near[1])


@pytest.mark.parametrize("distance", ["euclidean", "kl"])
async def test_state_vectors_measure_the_change(debate: Any, distance: Any) -> None:
    run = debate(rounds=2)
    seen = {len(run.trajectory.value(s.input)["messages"]): s.round for s in run.trajectory.steps if s.input}
    assert seen

    def vector(state: Any) -> list[float]:
        return [1.0, 9.0] if len(state["messages"]) >= 8 else [9.0, 1.0]

    values = by_round(await credited(run, vector=vector, distance=distance, trace=False))

    assert values[1] == values[3] == 0.0
    assert -1 <= values[2] < -0.5


async def test_own_progress_is_asked_of_every_state(debate: Any) -> None:
    asked: list[int] = []

    def progress(state: Any, task: Task) -> float:
        asked.append(len(state["messages"]))
        return min(1.0, len(state["messages"]) / 100)

    await credited(debate(), progress=progress)

    assert asked == sorted(asked)
    assert len(asked) == 4


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"lookahead": -1}, "lookahead counts rounds"),
        ({"distance": "cosine"}, "euclidean, kl"),
        ({"vector": lambda state: []}, "finite numbers"),
        ({"vector": lambda state: [float("nan")]}, "finite numbers"),
        ({"vector": lambda state: [1.0] * (1 + len(state["messages"]))}, "must have one length"),
        ({"vector": lambda state: [-1.0, 1.0], "distance": "kl"}, "needs distributions"),
        ({"progress": lambda state, task: 7}, r"is 7; it lies in \[0, 1\]"),
    ],
)
async def test_bad_settings_and_functions_are_refused(
    debate: Any, settings: dict[str, Any], says: str
) -> None:
    run = debate(says=LATE)
    if "vector" in settings:
        settings = {**settings, "trace": False}
    with pytest.raises(UserMistake, match=says):
        await credited(run, **settings)


TEXT = st.text("abc 1", max_size=12)


@given(st.lists(TEXT, min_size=1, max_size=5), TEXT, st.one_of(st.none(), st.integers(0, 5)))
def test_traced_shares_sum_to_one_and_lie_in_sight(
    texts: list[str], result: str, lookahead: int | None
) -> None:
    before = ["", *texts]
    states = [RoundState(n, {"m": before[n - 1]}, {"m": t}, ()) for n, t in enumerate(texts, 1)]
    trace = traced(states, frozenset(words_of(result)), {}, lookahead)

    assert not trace.shares or sum(trace.shares.values()) == pytest.approx(1.0)
    assert set(trace.shares) == set(trace.words)
    assert all(r >= len(texts) - (len(texts) if lookahead is None else lookahead) for r in trace.shares)
    assert {w for words in trace.words.values() for w in words} <= set(words_of(result)) & set(
        words_of(texts[-1])
    )


def test_a_word_that_left_and_came_back_entered_when_it_came_back() -> None:
    texts = ["", "k-9", "nothing", "k-9", "k-9"]
    states = [RoundState(n, {"m": texts[n - 1]}, {"m": texts[n]}, ()) for n in range(1, 5)]

    assert traced(states, frozenset({"k-9"}), {}, None).shares == {3: 1.0}


def test_words_are_read_from_values_of_any_shape() -> None:
    assert words_of({"a": ["K-12 is", {"b": 3.5, "c": None, "d": True}], "e": "Ünder_way"}) == [
        "k-12",
        "is",
        "3.5",
        "ünder_way",
    ]


@given(
    st.floats(0, 1, exclude_max=True),
    st.dictionaries(st.sampled_from(["1", "2", "3"]), st.floats(0, 1)),
    st.one_of(st.none(), st.integers(0, 3)),
    st.booleans(),
)
async def test_values_lie_in_range(
    score: float, progress: dict[str, float], lookahead: int | None, trace: bool
) -> None:
    from langgraph_truce.testing.batches import make_rollout

    run = make_rollout("t1", [("ann", 1, "a b"), ("bob", 2, "c d"), ("ann", 3, "e a")], score=score)
    run = replace(run, outcome=replace(run.outcome, progress=progress))
    found = await credited(run, lookahead=lookahead, trace=trace)

    assert all(c.value is not None and -1 <= c.value <= 0 for c in found)
    assert all(set(c.steps) <= run.trajectory.step_ids for c in found)


async def test_talk_that_every_run_has_does_not_hide_the_wrong_value(debate: Any) -> None:
    talk = "before we close let us walk through the whole history of this customer once more"
    runs = [
        debate(f"t{n}", says={"bob#1.0": f"it is K-{n}", "agg#3.0": talk}, result=f"{talk}: K-{n}")
        for n in range(90, 98)
    ]
    values = by_round(tuple(c for c in await credited(*runs) if c.task == "t93"))

    assert values[1] < -0.5
    assert min(values, key=lambda r: values[r]) == 1


def test_of_a_message_only_what_it_says_is_a_word() -> None:
    message = {
        "role": "assistant",
        "name": "writer",
        "id": "call_0390",
        "content": "The price is 45",
        "tool_calls": [{"name": "look_up", "args": {"article": "lamp"}, "id": "call_17"}],
    }

    assert words_of([message]) == ["the", "price", "is", "45", "lamp"]
