"""Counterfactual credit: arms and controls, values and kinds, cost before it starts, refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from langgraph_truce import prompts
from langgraph_truce.credit import by_role_round, counterfactual_credit
from langgraph_truce.errors import ReplayRefused, UnknownNameError, UserMistake
from langgraph_truce.seams import Change, Credit, Rollout
from langgraph_truce.task import Outcome
from langgraph_truce.testing.batches import make_batch, make_book, make_rollout, make_rules
from langgraph_truce.testing.lab import FakeLab

ROLES = ("ann", "bob", "cyd")
BOOK = make_book(
    *(make_rules(r, f"{r} is kind.", f"{r} is brief.") for r in ROLES), make_rules("agg"), make_rules("end")
)
NEUTRAL = prompts.load("neutral").text.strip()


def scored(rollout: Rollout, score: float, **parts: Any) -> Rollout:
    return replace(rollout, outcome=Outcome("r", score, **parts))


def guilty(*steps: str, by: Callable[[Change], bool] = lambda c: True) -> Any:
    """A world in which changing one of `steps` repairs the failed run."""

    def play(rollout: Rollout, change: Change, replicate: int) -> Rollout:
        edited = change.neutral or change.instead or change.rerun or change.book
        return scored(rollout, float(bool(edited) and bool(set(change.steps) & set(steps)) and by(change)))

    return play


async def test_the_guilty_contribution_alone_is_blamed(debate: Any) -> None:
    lab = FakeLab(replay=guilty("bob#2.0"))
    credits_, memory = await counterfactual_credit(replicates=2)(make_batch(BOOK, [debate()]), {}, lab)

    worst = min(credits_, key=lambda c: c.value or 0.0)
    assert (worst.role, worst.round, worst.steps, worst.value) == ("bob", 2, ("bob#2.0",), -1.0)
    assert sum(1 for c in credits_ if c.value) == 1
    assert len(credits_) == 13
    assert worst.details["kind"] == "commission"
    assert (worst.details["control"], worst.details["replaced"], worst.details["replicates"]) == (0.0, 1.0, 2)
    assert worst.details["low"] == -1.0 < 0 < worst.details["high"] < 1
    assert "1.00 instead of 0.00" in worst.words
    assert "2 replicates" in worst.words
    assert memory["refused_count"] == 0


async def test_what_helped_has_a_positive_value(debate: Any) -> None:
    def play(rollout: Rollout, change: Change, replicate: int) -> Rollout:
        return scored(rollout, 0.2 if change.neutral and "ann#1.0" in change.steps else 0.6)

    settings: dict[str, Any] = {"roles": ["ann"], "failed_only": False}
    credits_, _ = await counterfactual_credit(**settings)(
        make_batch(BOOK, [debate(score=1.0)]), {}, FakeLab(replay=play)
    )

    assert [c.value for c in credits_] == pytest.approx([0.4, 0.0, 0.0])
    assert [c.details["kind"] for c in credits_] == ["help", "none", "none"]


@pytest.mark.parametrize(
    ("settings", "calls"),
    [
        ({"deterministic": True}, 54),
        ({}, 72),
        ({"replicates": 5}, 360),
        ({"deterministic": True, "replace": ("peer",)}, 108),
        ({"deterministic": True, "replace": ("previous",)}, 24),
        ({"deterministic": True, "replace": ("fresh",)}, 63),
        ({"deterministic": True, "replace": ("rules",)}, 66),
    ],
)
async def test_the_cost_of_a_3_x_3_debate_is_known_before_it_starts(
    debate: Any, settings: dict[str, Any], calls: int
) -> None:
    """9 contributions; downstream of round 1, 2, 3 lie 10, 6 and 2 of the 13 calls; nine full reruns take 117."""
    credit = counterfactual_credit(**settings, roles=ROLES)
    batch = make_batch(BOOK, [debate()])

    assert credit.cost(batch) == calls
    _, memory = await credit(batch, {}, lab := FakeLab(replay=guilty("bob#1.0")))
    assert memory["calls"] == calls
    spent = settings.get("replicates", 1) * (9 + (0 if "deterministic" in settings else 3))
    if settings.get("replace", ("neutral",)) == ("neutral",):
        assert len(lab.replayed) == spent


async def test_contributions_of_one_fork_point_share_their_control(debate: Any) -> None:
    lab = FakeLab(replay=guilty("bob#1.0"))
    await counterfactual_credit(replicates=2, roles=["bob", "cyd"])(make_batch(BOOK, [debate()]), {}, lab)

    controls = [(c.steps, r) for _, c, r in lab.replayed if c == Change(steps=c.steps)]
    assert sorted(controls) == [((f"ann#{n}.0",), r) for n in (1, 2, 3) for r in (0, 1)]


async def test_the_control_takes_bad_luck_out_of_the_blame(debate: Any) -> None:
    """A run that failed by bad luck alone: every replay, edited or not, scores 1."""
    lab = FakeLab(replay=lambda rollout, change, replicate: scored(rollout, 1.0))
    batch = make_batch(BOOK, [debate()])

    controlled, _ = await counterfactual_credit()(batch, {}, lab)
    naive, _ = await counterfactual_credit(deterministic=True)(batch, {}, lab)

    assert {c.value for c in controlled} == {0.0}
    assert {c.value for c in naive} == {-1.0}


async def test_deterministic_replays_are_exact_and_take_no_control(debate: Any) -> None:
    lab = FakeLab(replay=guilty("cyd#3.0"))
    credits_, _ = await counterfactual_credit(deterministic=True)(make_batch(BOOK, [debate()]), {}, lab)

    assert all(c.details["low"] == c.value == c.details["high"] for c in credits_)
    assert all(c.details["control_calls"] == 0 for c in credits_)
    assert "exact" in credits_[0].words
    assert len(lab.replayed) == 13


async def test_omission_is_told_from_commission(debate: Any) -> None:
    """Silence does not repair an omission, a peer's words do."""
    play = guilty("bob#1.0", by=lambda change: change.neutral is None)
    credit = counterfactual_credit(replace=("neutral", "peer"), roles=ROLES)
    credits_, _ = await credit(make_batch(BOOK, [debate()]), {}, FakeLab(replay=play))

    by_kind = [
        (c.details["kind"], c.role, c.details["source"]) for c in credits_ if c.details["kind"] != "none"
    ]
    assert by_kind == [("omission", "bob", "ann#1.0"), ("omission", "bob", "cyd#1.0")]


@pytest.mark.parametrize(
    ("replacements", "kind"), [(("neutral", "fresh"), "commission"), (("fresh",), "harm")]
)
async def test_kind_needs_the_neutral_arm(debate: Any, replacements: tuple[str, ...], kind: str) -> None:
    credit = counterfactual_credit(replace=replacements, roles=["bob"])
    credits_, _ = await credit(make_batch(BOOK, [debate()]), {}, FakeLab(replay=guilty("bob#1.0")))

    assert {c.details["kind"] for c in credits_ if c.details["replacement"] == "fresh"} == {kind, "none"}


async def test_each_replacement_is_the_change_it_says(debate: Any) -> None:
    lab = FakeLab(replay=guilty())
    credit = counterfactual_credit(
        replace=("neutral", "previous", "peer", "fresh"), roles=["ann"], deterministic=True
    )
    await credit(make_batch(BOOK, [debate(rounds=2, roles=("ann", "bob"))]), {}, lab)

    one, two = ("ann#1.0",), ("ann#2.0",)
    assert [change for _, change, _ in lab.replayed] == [
        Change(steps=one, neutral=NEUTRAL),
        Change(steps=two, neutral=NEUTRAL),
        Change(steps=two, instead="ann#1.0"),
        Change(steps=one, instead="bob#1.0"),
        Change(steps=two, instead="bob#2.0"),
        Change(steps=one, rerun=True),
        Change(steps=two, rerun=True),
    ]


async def test_leaving_a_rule_out_is_credit_of_that_rule(debate: Any) -> None:
    def play(rollout: Rollout, change: Change, replicate: int) -> Rollout:
        return scored(
            rollout, float(change.book is not None and "bob is brief" not in change.book.render("bob"))
        )

    lab = FakeLab(replay=play)
    credits_, _ = await counterfactual_credit(replace=("rules",))(make_batch(BOOK, [debate()]), {}, lab)

    assert [(c.role, c.rules, c.value, c.round) for c in credits_ if c.value] == [
        ("bob", ("r2",), -1.0, None)
    ]
    assert len(credits_) == 6
    assert credits_[3].steps == ("bob#1.0", "bob#2.0", "bob#3.0")
    controls = {c for _, c, _ in lab.replayed if c.book is None}
    assert controls == {Change(steps=(f"{r}#1.0",), rerun=True) for r in ROLES}


async def test_an_edited_book_is_tried_agent_by_agent(debate: Any) -> None:
    better = make_book(
        make_rules("ann", "ann is kind.", "ann counts twice."),
        make_rules("bob", "bob is kind.", "bob is brief.", "bob cites."),
        *(BOOK.agents[r] for r in ("cyd", "agg", "end")),
    )
    lab = FakeLab(
        replay=lambda r, c, n: scored(r, float(c.book is not None and "cites" in c.book.render("bob")))
    )
    credits_, _ = await counterfactual_credit(replace=("neutral", better))(
        make_batch(BOOK, [debate()]), {}, lab
    )

    edited = {c.role: c for c in credits_ if c.details["replacement"] == "edited rules"}
    assert {role: (c.value, c.rules) for role, c in edited.items()} == {
        "ann": (0.0, ("r2",)),
        "bob": (-1.0, ()),
    }
    assert edited["bob"].details["kind"] == "omission"


async def test_a_refused_replay_is_recorded_and_the_others_go_on(debate: Any) -> None:
    def play(rollout: Rollout, change: Change, replicate: int) -> Rollout:
        if change.neutral and "ann#2.0" in change.steps:
            raise ReplayRefused("tool 'pay' is not declared")
        return scored(rollout, float(bool(change.neutral) and "bob#2.0" in change.steps))

    credits_, memory = await counterfactual_credit()(make_batch(BOOK, [debate()]), {}, FakeLab(replay=play))

    assert memory["refused_count"] == 1
    assert memory["refused_why"] == {"ann: tool 'pay' is not declared": 1}
    assert memory["refused"][0]["role"] == "ann"
    assert "pay" in memory["refused"][0]["why"]
    assert len(credits_) == 12


async def test_a_refused_control_is_recorded_for_everything_it_carries(debate: Any) -> None:
    def play(rollout: Rollout, change: Change, replicate: int) -> Rollout:
        if change == Change(steps=("ann#1.0",)):
            raise ReplayRefused("no checkpoint")
        return scored(rollout, 1.0)

    credits_, memory = await counterfactual_credit()(make_batch(BOOK, [debate()]), {}, FakeLab(replay=play))

    assert memory["refused_count"] == 3
    assert len(credits_) == 10


async def test_excluded_replays_are_left_out_of_the_pairs(debate: Any) -> None:
    def play(rollout: Rollout, change: Change, replicate: int) -> Rollout:
        gone = "429" if replicate == 0 or "cyd#1.0" in change.steps else ""
        return scored(rollout, 0.0 if gone else float(bool(change.neutral)), excluded=gone)

    credit = counterfactual_credit(replicates=3, roles=["bob", "cyd"])
    credits_, memory = await credit(make_batch(BOOK, [debate(rounds=1)]), {}, FakeLab(replay=play))

    assert [(c.role, c.value, c.details["replicates"]) for c in credits_] == [("bob", -1.0, 2)]
    assert "infrastructure" in memory["refused"][0]["why"]


async def test_a_budget_is_refused_before_anything_is_run(debate: Any) -> None:
    lab = FakeLab(replay=guilty())

    with pytest.raises(UserMistake, match=r"would make 72 model calls and budget_calls is 71"):
        await counterfactual_credit(budget_calls=71, roles=ROLES)(make_batch(BOOK, [debate()]), {}, lab)
    assert lab.replayed == []


async def test_the_worst_failed_rollouts_are_credited(debate: Any) -> None:
    runs = [debate("t1", 1.0), debate("t2", 0.5), debate("t3", 0.0), debate("t4", 0.2)]
    credit = counterfactual_credit(at_most=2, deterministic=True)
    credits_, _ = await credit(make_batch(BOOK, runs), {}, FakeLab(replay=guilty()))

    assert {c.task for c in credits_} == {"t3", "t4"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"replace": ()}, "replace="),
        ({"replace": ("nothing",)}, "nothing"),
        ({"replace": ("neutral", "neutral")}, "once"),
        ({"replicates": 0}, "replicates is at least 1"),
        ({"at_most": 0}, "at_most is at least 1"),
        ({"deterministic": True, "replicates": 3}, "replicates=3"),
        ({"level": 1.0}, "level"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserMistake, match=says):
        counterfactual_credit(**settings)


async def test_an_unknown_role_is_refused_with_those_there_are(debate: Any) -> None:
    with pytest.raises(UnknownNameError, match=r"dan.*ann, bob, cyd"):
        await counterfactual_credit(roles=["dan"])(make_batch(BOOK, [debate()]), {}, FakeLab(replay=guilty()))


def one(task: str, value: float | None, **parts: Any) -> Credit:
    return Credit(f"{task}.0", task, ("a#1.0",), value, role="a", round=1, **parts)


def test_the_table_takes_the_mean_by_task_first() -> None:
    rows = by_role_round([one("t1", -1.0), one("t1", 0.0), one("t2", 0.0), one("t3", None)])

    assert [(r.role, r.round, r.tasks, r.value) for r in rows] == [("a", 1, 2, -0.25)]
    assert rows[0].low < -0.25 < rows[0].high


def test_the_table_is_sure_where_many_tasks_agree() -> None:
    told = {"replacement": "neutral", "kind": "commission"}
    rows = by_role_round(
        [one(f"t{n}", -1.0, details=told) for n in range(20)] + [one("t0", 0.5, rules=("r1",))]
    )

    assert (rows[0].value, rows[0].kinds) == (-1.0, (("commission", 20),))
    assert rows[0].high < -0.5
    assert rows[1].rules == ("r1",)


async def test_a_rollout_without_such_steps_gives_no_credit() -> None:
    batch = make_batch(make_book(make_rules("other")), [make_rollout("t1", [("x", 1, "hi")], score=0.0)])
    quiet = replace(
        batch.rollouts[0],
        trajectory=replace(
            batch.rollouts[0].trajectory,
            steps=tuple(replace(s, calls=()) for s in batch.rollouts[0].trajectory.steps),
        ),
    )
    credits_, memory = await counterfactual_credit()(replace(batch, rollouts=(quiet,)), {}, FakeLab())

    assert credits_ == ()
    assert memory["calls"] == 0


async def test_rules_of_one_round_alone_can_be_tried(debate: Any) -> None:
    second = replace(BOOK.agents["bob"], agent="bob@2", parts=("Only facts.",))
    lab = FakeLab(replay=lambda r, c, n: scored(r, float(c.book is not None)))
    credit = counterfactual_credit(replace=(BOOK.with_agent(second),))
    credits_, _ = await credit(make_batch(BOOK, [debate()]), {}, lab)

    assert [(c.role, c.steps, c.rules, c.value) for c in credits_] == [
        ("bob", ("bob#2.0",), ("r1", "r2"), -1.0)
    ]
    assert Change(steps=("bob#2.0",), rerun=True) in [c for _, c, _ in lab.replayed if c.book is None]


async def test_shaped_scores_need_the_control_arm(debate: Any) -> None:
    shaped = scored(debate(), 0.3, scores={"right": 0.0}, progress={"1": 0.6})
    lab = FakeLab(replay=guilty())

    with pytest.raises(UserMistake, match="take deterministic=False"):
        await counterfactual_credit(deterministic=True)(make_batch(BOOK, [shaped]), {}, lab)
    assert lab.replayed == []
    assert (await counterfactual_credit()(make_batch(BOOK, [shaped]), {}, lab))[0]
