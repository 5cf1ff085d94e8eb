"""Reads of rules are noted for the rollout that made them."""

from __future__ import annotations

from langgraph_truce.bind.reads import note, reading


def test_a_read_whose_rollout_is_not_told_may_be_anybodys() -> None:
    with reading("r1") as one, reading("r2") as two, reading("r1") as again:
        note("a", "r1", "team:1|a:2", 3)
        note("a", "r3", "a:9")
        assert [(r.agent, r.round, r.task) for r in one.found] == [("a", 3, "2")]
        assert again.found == one.found
        assert not two.found
        assert [one.lost, two.lost] == [False, False]
        note("b", None, "")
        assert one.lost
        assert two.lost
    note("b", None, "")
