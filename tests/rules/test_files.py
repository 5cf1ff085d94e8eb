"""Rule files: exact both ways, readable, and clear about what is wrong."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_truce.errors import RuleFileError
from langgraph_truce.rules import AgentRules, Rule, RuleBook, RuleSlot, parse, read_rules, write_rules

PIECES = [
    "a", "Always check.", " ", "\n", "\n\n", "\r\n", "\r", "  ", "\t", "- ", "1. ", "<!--", "-->", "<!--r1-->", "<!--/r2-->",
    "<!--\\r1-->", "<!-- r1 -->", "<!--next=3-->", "<!--u0041-->", "<!-- note -->", "\\", "/r1-->", "r1", "\x00", "\ud83d",
    "\ude00", "## H", "{x}", '{"a": 1}', "\ufeff", "😀", "\u2028", "--",
]  # fmt: skip
texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
    st.text(st.characters(codec=None, exclude_categories=()), max_size=20),
)
indents = st.sampled_from(["", "", "  ", "    ", "\t", " \t "])


@st.composite
def agent_rules(draw: st.DrawFn, agent: str) -> AgentRules:
    parts: list[str | RuleSlot] = []
    number = 0
    for is_text in draw(st.lists(st.booleans(), max_size=7)):
        text = draw(texts)
        if not is_text:
            number += draw(st.integers(1, 3))
            kind, task = draw(
                st.sampled_from([("instruction", ""), ("example", "t 1-->"), ("example", "a--b")])
            )
            rule = Rule(f"r{number}", text, kind, draw(st.booleans()), task)  # type: ignore[arg-type]
            parts.append(RuleSlot(rule, draw(indents)))
        elif text and not (parts and isinstance(parts[-1], str)):
            parts.append(text)
    ids = list(draw(st.permutations([p.rule.id for p in parts if isinstance(p, RuleSlot)])))
    shuffled = [p if isinstance(p, str) else RuleSlot(_named(p.rule, ids.pop()), p.indent) for p in parts]
    return AgentRules(agent, tuple(shuffled), number + draw(st.integers(1, 3)))


def _named(rule: Rule, rule_id: str) -> Rule:
    return Rule(rule_id, rule.text, rule.kind, rule.protected, rule.task)


names = st.sets(
    st.sampled_from(["solver", "team/solver", "team/sub/x", "solver@2", "ä b"]), min_size=1, max_size=3
)
books = names.flatmap(lambda chosen: st.tuples(*(agent_rules(name) for name in sorted(chosen)))).map(
    lambda all_rules: RuleBook({rules.agent: rules for rules in all_rules})
)


@settings(deadline=None)
@given(books)
def test_a_book_is_read_as_it_was_written(book: RuleBook) -> None:
    with TemporaryDirectory() as folder:
        paths = write_rules(book, folder)
        assert read_rules(folder) == book
        before = [path.read_bytes() for path in paths]
        assert write_rules(read_rules(folder), folder) == paths
        assert [path.read_bytes() for path in paths] == before


plain = st.text(max_size=60).filter(lambda text: "<!--" not in text)


@settings(deadline=None)
@given(plain)
def test_a_plain_file_is_its_own_prompt(text: str) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder, "solver.md")
        file.write_bytes(f"{text}\n".encode())
        rules = read_rules(file).agents["solver"]
        expected = text.removesuffix("\r")
        assert rules == parse("solver", expected)
        assert rules.render() == expected
        if not text.endswith("\n"):
            file.write_bytes(text.encode())
            assert read_rules(folder).render("solver") == text


def test_the_file_reads_like_the_prompt(tmp_path: Path) -> None:
    prompt = "# Solver\n\n- Check units.\n- Think:\n  first a\n\nNever lie. It is late.\n\nLines\nwrap.\n"
    rules = parse("solver", prompt)
    first = rules.parts[1]
    assert isinstance(first, RuleSlot)
    kept = RuleSlot(Rule("r1", first.rule.text, protected=True))
    example = RuleSlot(Rule("r9", "Q: 1 m?\nA: 100 cm", "example", task="t12"), "  ")
    rules = AgentRules("solver", (rules.parts[0], kept, *rules.parts[2:], "- ", example), 12)
    write_rules(RuleBook({"solver": rules}), tmp_path)
    assert (tmp_path / "solver.md").read_text() == (
        "# Solver\n\n- <!--r1 protected--> Check units.\n- <!--r2--> Think:\n  first a\n\n"
        "<!--r3--> Never lie.<!--/r3--> It is late.\n\nLines\nwrap.\n"
        "- <!--r9 example task=t12--> Q: 1 m?\n  A: 100 cm\n<!--next=12-->\n"
    )


def test_ids_may_be_written_by_hand(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Role.\n\n- <!-- r2 --> one\n- <!--r1-->two\n- no rule\n")
    rules = read_rules(tmp_path).agents["a"]
    assert [(rule.id, rule.text) for rule in rules.rules] == [("r2", "one"), ("r1", "two")]
    assert rules.next_id == 3
    assert rules.render() == "Role.\n\n- one\n- two\n- no rule"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "- <!--r3--> a\n- <!--r3--> b\n",
            "a.md:2: rule id 'r3' is used twice; ids must be unique in a file",
        ),
        ("x\n\n- <!--r3 \n b\n", "a.md:3: comment '<!--r3' is not closed"),
        ("- <!--r3 sacred--> a\n", "a.md:1: unknown attribute 'sacred' of rule 'r3'"),
        ("- <!--r3 task=t1--> a\n", "a.md:1: rule 'r3' has a task but is no example"),
        ("- <!--r3 indent=x--> a\n", "a.md:1: indent='x'"),
        ("- <!--r0--> a\n", "a.md:1: comment '<!--r0-->' is no rule comment"),
        ("- a<!--/r3-->\n", "a.md:1: <!--/r3--> ends no open rule"),
        ("<!--r1--> a <!--r2--> b<!--/r1-->\n", "a.md:1: <!--/r1--> ends no open rule"),
        ("<!--r1--> a<!--/r1 x-->\n", "a.md:1: end comment of rule 'r1' takes no attribute"),
        ("- <!--r3--> a\n<!--next=3-->\n", "a.md:2: next=3 would give an id again; it must be above 3"),
        ("<!--next=3-->\n- <!--r1--> a\n", "a.md:1: <!--next=3--> must stand once, on the last line"),
        ("<!--uFFFFFF-->\n", "a.md:1: <!--uFFFFFF--> is no character"),
    ],
)
def test_broken_files_are_told_with_line_and_way_out(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.md").write_text(text)
    with pytest.raises(RuleFileError) as error:
        read_rules(tmp_path)
    assert message in str(error.value)


def test_missing_empty_and_foreign_folders(tmp_path: Path) -> None:
    with pytest.raises(RuleFileError, match="no such folder or file"):
        read_rules(tmp_path / "none")
    (tmp_path / ".hidden.md").write_text("x")
    with pytest.raises(RuleFileError, match="no rule file in this folder"):
        read_rules(tmp_path)
    (tmp_path / "a.md").write_bytes(b"ok \xff")
    with pytest.raises(RuleFileError, match=r"a\.md: not UTF-8 \(byte 3\)"):
        read_rules(tmp_path)


def test_nothing_is_written_when_something_is_wrong(tmp_path: Path) -> None:
    book = RuleBook({"a": parse("a", "- x")})
    (tmp_path / "b.md").write_text("x")
    with pytest.raises(RuleFileError, match=r"agents that are not in the book \(b\)"):
        write_rules(book, tmp_path)
    for name in ("", "..", "a//b", "/etc/x", "../a", ".x", "a\\b"):
        with pytest.raises(RuleFileError, match="cannot be a file name"):
            write_rules(RuleBook({name: parse(name, "- x")}), tmp_path)
    with pytest.raises(RuleFileError, match="'x1' is no rule id"):
        write_rules(RuleBook({"b": AgentRules("b", (RuleSlot(Rule("x1", "t")),))}), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["b.md"]
