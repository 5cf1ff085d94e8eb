"""Critics: what is asked, what becomes credit of a role, a round and a run, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from langgraph_truce.credit import critics
from langgraph_truce.errors import UserMistake
from langgraph_truce.seams import Credit
from langgraph_truce.task import Task
from langgraph_truce.testing.batches import make_batch, make_book, make_rollout, make_rules
from langgraph_truce.testing.lab import FakeLab
from tests.credit.critic_scripts import (
    BOOK,
    asked,
    batch_of,
    critic,
    debate,
    lab,
    peers,
    two_rounds,
)


def of_kind(credits_: tuple[Credit, ...], kind: str) -> list[Credit]:
    return [c for c in credits_ if c.details["kind"] == kind]


async def test_every_utterance_and_every_aggregate_gets_credit() -> None:
    credits_, memory = await critics(lam=0.25)(batch_of(two_rounds()), {}, lab())

    roles = of_kind(credits_, "role")
    assert [(c.role, c.round, c.steps, c.segment) for c in roles] == [
        ("ann", 1, ("ann#1.0",), "round-1"),
        ("bob", 1, ("bob#1.0",), "round-1"),
        ("ann", 2, ("ann#2.0",), "round-2"),
        ("bob", 2, ("bob#2.0",), "round-2"),
    ]
    for c in roles:
        assert c.details["c"] == pytest.approx(0.25 * 0.6 + 0.75 * 0.2)
        assert c.value == pytest.approx(2 * c.details["c"] - 1)
    assert roles[0].details == {"kind": "role", "q": 0.6, "p": 0.2, "c": roles[0].details["c"], "right": True}
    assert [c.details["right"] for c in roles] == [True, False, True, True]
    assert "ann#1.0 it is" in roles[0].words
    assert "ann led on" in roles[0].words

    shared = of_kind(credits_, "aggregator")
    assert [(c.role, c.round, c.steps) for c in shared] == [
        ("agg", 1, ("agg#1.0",)),
        ("agg", 2, ("agg#2.0",)),
    ]
    assert [c.value for c in shared] == pytest.approx([0.6, 0.6])
    assert [dict(c.details) for c in shared] == [
        {"kind": "aggregator", "q": 0.8, "right": False, "agents_right": 1, "agents": 2},
        {"kind": "aggregator", "q": 0.8, "right": True, "agents_right": 2, "agents": 2},
    ]
    assert all((c.rollout, c.task) == ("t1.0", "t1") for c in credits_)
    assert memory["rejected_count"] == memory["unread_count"] == 0


@pytest.mark.parametrize(("with_peers", "per_round"), [(True, 2), (False, 1)])
async def test_a_round_costs_two_calls_or_one_whatever_the_number_of_roles(
    with_peers: bool,
    per_round: int,
) -> None:
    roles = [f"r{n}" for n in range(7)]
    rounds = [{**dict.fromkeys(roles, "(B)"), "agg": "(B)"} for _ in range(3)]
    book = make_book(*(make_rules(r, "Think.") for r in (*roles, "agg", "end")))
    fake = lab()
    await critics(peers=with_peers)(batch_of(debate("t1", *rounds), book=book), {}, fake)

    assert len(fake.asked) == 3 * per_round + 1
    purposes = [("critic", "credit")] * 3 + [("diagnosis", "diagnose")]
    assert asked(fake) == sorted(purposes + [("peers", "credit")] * 3 * with_peers)


async def test_without_the_peer_view_the_critic_alone_counts() -> None:
    credits_, _ = await critics(peers=False)(batch_of(two_rounds()), {}, lab())

    assert {(c.details["p"], c.details["c"]) for c in of_kind(credits_, "role")} == {(None, 0.6)}


async def test_the_critic_knows_the_end_and_the_peers_do_not_and_nobody_the_reference() -> None:
    fake = lab(about={"ann": "speaks first"})
    await critics()(batch_of(two_rounds()), {}, fake)
    second = {a.prompt: a for a in fake.asked if "agg#2.0" in a.text or a.prompt == "peers"}

    judged = second["critic"].fields
    assert "Still (B)." in judged["utterances"]
    assert "They say (A)." in judged["previous"]
    assert "All say (B)." in judged["aggregate"]
    assert "feedback t1" in judged["evaluator"]
    assert "answer: (A)" in judged["global_evaluation"]
    assert "- ann: speaks first\n- bob" in judged["roles"]
    assert "They say (A)." in second["peers"].fields["previous"]
    assert not any(words in second["peers"].text for words in ("feedback t1", "All say", "score: 0.00"))
    first = next(a for a in fake.asked if a.prompt == "critic" and "ann#1.0" in a.text)
    assert "(none)" in first.fields["previous"]
    assert not any('"answer"' in a.text or "reference" in a.text for a in fake.asked)


async def test_early_stops_missing_roles_repeated_roles_and_unequal_rounds() -> None:
    early = debate("t1", {"bob": "(A)", "agg": "(A)"})
    twice = debate("t2", {"ann": "(A)", "bob": "(B)", "ann'": "(B)", "agg": "(B)"}, {"agg": "(B)"})
    fake = lab()
    credits_, memory = await critics()(batch_of(early, twice), {}, fake)

    assert [(c.task, c.role, c.steps, c.details["right"]) for c in of_kind(credits_, "role")] == [
        ("t1", "bob", ("bob#1.0",), False),
        ("t2", "ann", ("ann#1.0",), False),
        ("t2", "bob", ("bob#1.0",), True),
        ("t2", "ann", ("ann#2.0",), True),
    ]
    assert [c.details["agents"] for c in of_kind(credits_, "aggregator")] == [1, 3, 0]
    assert asked(fake).count(("critic", "credit")) == 3
    assert asked(fake).count(("peers", "credit")) == 2  # nobody spoke in the third round
    assert memory["rejected_count"] == 0


async def test_branches_of_one_role_are_utterances_of_their_own() -> None:
    run = debate("t1", {"ann": "(B)", "ann'": "(A)", "agg": "(B)"})
    steps = [
        replace(s, id="ann#1.1", visit=1, index=1) if s.id == "ann#2.0" else s for s in run.trajectory.steps
    ]
    run = replace(run, trajectory=replace(run.trajectory, steps=tuple(steps)))
    credits_, _ = await critics()(batch_of(run), {}, lab())

    assert [c.steps for c in of_kind(credits_, "role")] == [("ann#1.0",), ("ann#1.1",)]
    assert of_kind(credits_, "aggregator")[0].details["agents_right"] == 1


async def test_a_round_that_broke_off_has_no_credit_and_the_run_a_diagnosis() -> None:
    broken = debate("t1", {"ann": "(B)", "agg": "(B)"}, {"ann": "(B)"})
    steps = tuple(s for s in broken.trajectory.steps if s.role != "end")
    broken = replace(broken, trajectory=replace(broken.trajectory, steps=steps))
    empty = replace(debate("t2"), trajectory=replace(debate("t2").trajectory, steps=()))
    credits_, _ = await critics()(batch_of(broken, empty), {}, lab())

    assert [(c.task, c.details["kind"], c.steps) for c in credits_] == [
        ("t1", "role", ("ann#1.0",)),
        ("t1", "aggregator", ("agg#1.0",)),
        ("t1", "diagnosis", ("agg#1.0", "ann#2.0")),
    ]


async def test_the_plain_form_gets_credit_of_roles_and_runs_alone() -> None:
    plain = debate("t1", {"ann": "(A)", "bob": "(B)"}, {"ann": "(B)", "bob": "(B)"})
    steps = tuple(s for s in plain.trajectory.steps if s.role != "end")
    plain = replace(plain, trajectory=replace(plain.trajectory, steps=steps))
    credits_, _ = await critics()(batch_of(plain), {}, lab(aggregator=""))

    assert [c.details["kind"] for c in credits_] == ["role"] * 4 + ["diagnosis"]
    assert credits_[-1].steps == ("ann#2.0", "bob#2.0")


@pytest.mark.parametrize(
    ("aggregator", "why"),
    [("", "no role runs again and no aggregator is named"), ("judge", "the aggregator 'judge' never ran")],
)
async def test_a_graph_without_rounds_is_told_how_to_mark_them(aggregator: str, why: str) -> None:
    chain = make_batch(BOOK, [make_rollout("t1", [("ann", 1, "(A)"), ("bob", 1, "(B)")], score=0.0)])
    with pytest.raises(UserMistake, match=why) as raised:
        await critics()(chain, {}, lab(aggregator=aggregator))
    assert 'System(graph, ..., aggregator="NODE"), one of: ann, bob' in str(raised.value)


async def test_runs_that_all_broke_off_are_no_graph_without_rounds() -> None:
    run = make_rollout("t1", [("ann", 1, "(A)")], score=0.0)
    run = replace(run, outcome=replace(run.outcome, error="ValueError: no"))
    credits_, memory = await critics()(batch_of(run), {}, lab())

    assert [c.steps for c in credits_] == [("ann#1.0",)]
    with pytest.raises(UserMistake, match="never ran"):
        await critics()(batch_of(make_rollout("t1", [("ann", 1, "(A)")], score=0.0)), memory, lab())


async def test_once_seen_rounds_are_not_asked_for_again() -> None:
    _, memory = await critics()(batch_of(two_rounds()), {}, lab())
    one = debate("t1", {"ann": "(B)", "bob": "(B)"})
    credits_, _ = await critics(diagnose=False)(batch_of(one), memory, lab(aggregator=""))

    assert {c.role for c in credits_} == {"ann", "bob", "end"}


@pytest.mark.parametrize("bad", [1.2, -0.1, float("nan"), float("inf"), "0.5", "high", None, True, [0.5]])
async def test_scores_outside_their_range_are_refused_and_recorded(bad: Any) -> None:
    first = critic()

    def one_bad(fields: Mapping[str, str]) -> Any:
        reply = first(fields)
        reply["utterances"][0]["q"] = bad
        return reply

    credits_, memory = await critics()(batch_of(two_rounds()), {}, lab(critic=one_bad, peers=peers(bad)))

    assert [(c.role, c.details["p"]) for c in of_kind(credits_, "role")] == [("bob", None)] * 2
    assert memory["rejected_count"] == 2 + 4
    assert "must be a number from 0 to 1" in memory["rejected"][0]["why"]
    credits_, memory = await critics()(batch_of(two_rounds()), {}, lab(critic=critic(aggregate=bad)))
    assert of_kind(credits_, "aggregator") == []
    assert memory["rejected_count"] == 2


@pytest.mark.parametrize(
    ("said", "kept", "why"),
    [
        ([("ann#1.0", 0.1), ("ann#1.0", 0.9), ("bob#1.0", 0.5)], ["ann", "bob"], "judged twice; the first"),
        (
            [("ann#9.0", 0.1), ("`[t1.0/ann#1.0]`", 0.1), ("bob#1.0", 0.5)],
            ["ann", "bob"],
            "'ann#9.0' is no utterance",
        ),
        ([("agg#1.0", 0.1), ("ann#1.0", 0.1), ("bob#1.0", 0.5)], ["ann", "bob"], "'agg#1.0' is no utterance"),
        ([("ann#1.0", 0.1)], ["ann"], "'bob#1.0' is not judged"),
        ([], [], "'ann#1.0' is not judged"),
    ],
)
async def test_judgements_of_what_is_not_there_and_missing_ones_are_recorded(
    said: list[tuple[str, float]], kept: list[str], why: str
) -> None:
    reply = {"utterances": [{"step": i, "q": q} for i, q in said], "aggregate": {"q": 0.5}}
    run = debate("t1", {"ann": "(A)", "bob": "(B)", "agg": "(B)"})
    credits_, memory = await critics()(batch_of(run), {}, lab(critic=[reply]))

    assert [c.role for c in of_kind(credits_, "role")] == kept
    assert why in memory["rejected"][0]["why"]
    assert of_kind(credits_, "aggregator")[0].details["q"] == 0.5


@pytest.mark.parametrize(
    ("aggregate", "why"),
    [
        (None, "the shared state is not judged"),
        ({"step": "ann#1.0", "q": 0.5}, "'ann#1.0' is no shared state"),
    ],
)
async def test_a_shared_state_that_is_not_judged_is_recorded(aggregate: Any, why: str) -> None:
    reply = {"utterances": [{"step": "ann#1.0", "q": 0.5}], "aggregate": aggregate}
    credits_, memory = await critics()(
        batch_of(debate("t1", {"ann": "(A)", "agg": "(B)"})), {}, lab(critic=[reply])
    )

    assert of_kind(credits_, "aggregator") == []
    assert why in memory["rejected"][0]["why"]


async def test_unknown_roles_of_the_peer_view_are_recorded() -> None:
    said = {"roles": [{"role": "`ann`", "p": 1}, {"role": "eve", "p": 0}, {"role": "ann", "p": 0}]}
    run = debate("t1", {"ann": "(A)", "bob": "(A)", "agg": "(B)"})
    credits_, memory = await critics(lam=0)(batch_of(run), {}, lab(peers=[said]))

    assert {c.role: c.details["c"] for c in of_kind(credits_, "role")} == {"ann": 1.0, "bob": 0.6}
    assert [r["why"].split(";")[0] for r in memory["rejected"]] == [
        "'eve' is no role of this round",
        "the role 'ann' is judged twice",
        "the role 'bob' is not judged",
    ]


async def test_an_unreadable_reply_costs_its_own_judgements_only() -> None:
    fake = lab(
        critic=["no JSON", critic()({"utterances": "[ann#2.0] role", "aggregate": ""})],
        peers=["gibberish"] * 2,
    )
    run = debate("t1", {"ann": "(A)", "agg": "(B)"}, {"ann": "(A)", "agg": "(B)"})
    credits_, memory = await critics()(batch_of(run), {"unread_count": 4}, fake)

    assert [(c.steps, c.details["p"]) for c in of_kind(credits_, "role")] == [(("ann#2.0",), None)]
    assert memory["unread_count"] == 4 + 3
    assert {(r["round"], r["part"]) for r in memory["unread"]} == {(1, "critic"), (1, "peers"), (2, "peers")}


async def test_other_failures_pass_through() -> None:
    class Stopping(FakeLab):
        async def ask(self, *_: Any, **__: Any) -> Any:
            raise ConnectionError("stop")

    with pytest.raises(ConnectionError, match="stop"):
        await critics()(batch_of(two_rounds()), {}, Stopping({"critic": []}, aggregator="agg"))


async def test_with_a_limit_the_worst_runs_are_judged() -> None:
    runs = [two_rounds(f"t{n}", score=s) for n, s in enumerate((1.0, 0.0, 0.5))]
    credits_, _ = await critics(at_most=2)(batch_of(*runs), {}, lab())

    assert {c.task for c in credits_} == {"t1", "t2"}


async def test_what_is_right_can_be_told_by_ones_own_function() -> None:
    def right(text: str, task: Task) -> bool | None:
        return None if "A" in text else task.id in text

    run = debate("t1", {"ann": "t1", "bob": "A", "cyd": "t1", "agg": "else"})
    book = make_book(*(make_rules(r, "Think.") for r in ("ann", "bob", "cyd", "agg")))
    credits_, _ = await critics(right=right)(batch_of(run, book=book), {}, lab())

    assert [c.details["right"] for c in of_kind(credits_, "role")] == [True, None, True]
    details = of_kind(credits_, "aggregator")[0].details
    assert (details["right"], details["agents_right"], details["agents"]) == (False, 2, 2)


async def test_a_role_that_never_names_an_option_answers_nothing() -> None:
    run = debate(
        "t1",
        {"ann": "(B)", "bob": "[[4, 1, 5]]", "agg": "(B)"},
        {"ann": "?", "bob": "[[3, 3]]", "agg": "(A)"},
    )
    credits_, _ = await critics()(batch_of(run), {}, lab())

    right = {(c.role, c.round): c.details["right"] for c in of_kind(credits_, "role")}
    assert right == {("ann", 1): True, ("ann", 2): False, ("bob", 1): None, ("bob", 2): None}
    counts = [(c.details["agents_right"], c.details["agents"]) for c in of_kind(credits_, "aggregator")]
    assert counts == [(1, 1), (0, 1)]


async def test_open_questions_have_no_answer_credit() -> None:
    open_ = Task("t1", {"question": "why?"}, {"answer": "because"})
    batch = make_batch(BOOK, [two_rounds()], tasks={"t1": open_})
    credits_, _ = await critics()(batch, {}, lab())

    assert {c.details["right"] for c in credits_ if c.role} == {None}
    assert of_kind(credits_, "aggregator")[0].details["agents"] == 0


@pytest.mark.parametrize("lam", [-0.01, 1.01, float("nan")])
def test_lambda_is_a_share(lam: float) -> None:
    with pytest.raises(UserMistake, match=r"lam=\.\.\.\) weighs .* in \[0, 1\], got"):
        critics(lam=lam)


async def test_without_a_model_it_says_so() -> None:
    with pytest.raises(UserMistake, match=r"critics .* model=\.\.\."):
        await critics()(batch_of(two_rounds()), {}, FakeLab(aggregator="agg"))


async def test_the_same_question_is_asked_in_the_same_words_on_resume() -> None:
    texts = []
    for _ in range(2):
        fake = lab()
        await critics()(batch_of(two_rounds(), two_rounds("t2", score=1.0)), {}, fake)
        texts.append(sorted(a.text for a in fake.asked))
    assert texts[0] == texts[1]
    assert len(set(texts[0])) == len(texts[0])


async def test_prompts_stay_within_the_characters_they_may_have() -> None:
    long = {"ann": "x" * 9000, "bob": "y" * 9000, "agg": "z" * 9000}
    fake = lab()
    await critics(chars=1000)(batch_of(debate("t1", long, long)), {}, fake)
    for a in fake.asked:
        shown = "".join(a.fields.get(f, "") for f in ("utterances", "previous", "aggregate", "final_states"))
        assert len(shown) < 2000 + 200
