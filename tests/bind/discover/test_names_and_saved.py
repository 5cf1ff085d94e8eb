"""Names of agents, and discovered prompts in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from langgraph_truce.bind.discover import read_prompts, write_prompts
from langgraph_truce.bind.discover.names import agent_names, role_of, shared
from langgraph_truce.bind.found import Prompts, Slot
from langgraph_truce.errors import RuleFileError


def test_the_inner_level_of_an_agent_is_left_out_where_it_is_alone() -> None:
    roles = ["a/model", "b/model", "b/tools", "c", "c/agent", "model", "d/x/agent"]

    assert agent_names(roles) == ("a", "b/model", "b/tools", "c", "c/agent", "model", "d/x")


def test_further_prompts_of_a_role_are_numbered() -> None:
    assert agent_names(["a/model", "b", "a/model", "b", "b"]) == ("a", "b", "a~2", "b~2", "b~3")
    assert agent_names(["b", "b"], taken=["b~2"]) == ("b", "b~3")


def test_the_role_of_a_numbered_agent() -> None:
    assert [role_of(n) for n in ("a~2", "a~2@3", "t/a@3", "a~b", "x~y@z")] == [
        "a",
        "a",
        "t/a",
        "a~b",
        "x~y@z",
    ]


def test_agents_of_one_text_share_it() -> None:
    texts = {"a": ("system", "x"), "b": ("system", "x"), "c": ("human", "x")}

    assert shared(texts) == {"a": ("b",), "b": ("a",), "c": ()}


def test_prompts_come_back_from_a_folder(tmp_path: Path) -> None:
    prompts = Prompts(
        (Slot("a", "Hi {é} {x}\r\n", ("x",)), Slot("a", "Yo", message="human", agent="a~2")), True
    )

    write_prompts(prompts, tmp_path / "new")

    assert read_prompts(tmp_path / "new") == prompts
    assert read_prompts(tmp_path) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"slots": [{"rule": 1}], "raw_threads": false}', "{}"])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / ".prompts.json").write_text(text, encoding="utf-8")

    with pytest.raises(RuleFileError, match=r"\.prompts\.json: no discovered prompts.*write it again with"):
        read_prompts(tmp_path)
