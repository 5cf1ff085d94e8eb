"""apply: what an edit changes and what it leaves alone (contracts 2 and 3)."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_truce.errors import EditError
from langgraph_truce.rules import Edit, Rule, RuleBook, apply, apply_one, parse, read_rules, write_rules
from langgraph_truce.rules.place import role_words

PROMPTS = [p.read_text() for p in sorted((Path(__file__).parent / "prompts").glob("*.txt"))]
PROMPTS = [p.translate(dict.fromkeys(map(ord, "⟦⟧⟪⟫"))) for p in PROMPTS]
BLOCKS = [
    "You are a solver for {name}.", "# Rules", "- one\n- two\n- three", "1. one\n2. two\n3. three\n4. four",
    "* a\n\n* b\n\n* c", "Never lie. It is late. Always check. You must go.", "<rule>Be kind.</rule>\n<rule>Be brief.</rule>",
    "(a) first thing\n(b) second thing", "- x:\n  - y\n  - z\n- w", "- code:\n\n  ```\n  x\n  ```\n- more", "```\n- no\n```",
    "Rules:\nBe kind.\nBe brief.", "7) seven\n8) eight", "1. one\n1. two\n1. three",
]  # fmt: skip
prompts = st.one_of(
    st.sampled_from(PROMPTS),
    st.builds(lambda blocks, eol: eol.join(blocks) + eol, st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=5), st.sampled_from(["\n", "\n\n", "\r\n"])),
)  # fmt: skip
new_texts = st.sampled_from(
    ["new", "New rule.", "two\nlines", "a\n\n## Heading\n- item\n1. number", '{"a": 1, "b": [2]}', "```\ncode\n```", "<rule>x</rule>", "<!--r1-->", "x\r\ny", "Q: a\nA: b"]
)  # fmt: skip


def book_of(text: str) -> RuleBook:
    return RuleBook({"solver": parse("solver", text), "other": parse("other", "- untouched\n")})


def modify(book: RuleBook, rule: str, text: str, name: str = "e1.1") -> Edit:
    return Edit(name, "MODIFY", "solver", rule, book.agent("solver").rule(rule).hash, text)


def delete(book: RuleBook, rule: str, name: str = "e1.2") -> Edit:
    return Edit(name, "DELETE", "solver", rule, book.agent("solver").rule(rule).hash)


def add(text: str, name: str = "e1.3") -> Edit:
    return Edit(name, "ADD", "solver", text=text)


@st.composite
def edits_of(draw: st.DrawFn, book: RuleBook) -> Edit:
    free = [rule.id for rule in book.agent("solver").rules if not _fields(rule)]
    op = draw(st.sampled_from(["ADD", "MODIFY", "DELETE"] if free else ["ADD"]))
    if op == "ADD":
        return add(draw(new_texts))
    rule = draw(st.sampled_from(free))
    return delete(book, rule) if op == "DELETE" else modify(book, rule, draw(new_texts))


def _fields(rule: Rule) -> bool:
    return "{" in rule.text


@settings(deadline=None)
@given(prompts, st.data())
def test_role_text_and_untouched_rules_stay_equal_through_any_edits(text: str, data: st.DataObject) -> None:
    book = book_of(text)
    words = role_words(book.agent("solver"))
    for _ in range(data.draw(st.integers(1, 5))):
        edit = data.draw(edits_of(book))
        changed, rule_id = apply_one(book, edit)
        before = {rule.id: rule for rule in book.agent("solver").rules}
        after = {rule.id: rule for rule in changed.agent("solver").rules}
        assert changed.agents["other"] is book.agents["other"]
        assert role_words(changed.agent("solver")) == words
        assert {k: r for k, r in before.items() if k != rule_id} == {
            k: r for k, r in after.items() if k != rule_id
        }
        assert (rule_id in after) == (edit.op != "DELETE")
        if edit.op != "DELETE":
            assert after[rule_id].text == edit.text
        assert [k for k in after if k in before] == [k for k in before if k in after]
        book = changed
    with TemporaryDirectory() as folder:
        write_rules(book, folder)
        assert read_rules(folder) == book


@settings(deadline=None)
@given(prompts, st.data())
def test_edits_of_different_rules_commute(text: str, data: st.DataObject) -> None:
    book = book_of(text)
    first, second = data.draw(edits_of(book)), data.draw(edits_of(book))
    if first.op == "ADD" or second.op == "ADD" or first.rule == second.rule:
        return
    together = apply(book, [first, second])
    assert apply(book, [second, first]) == together
    one_way, other_way = apply(apply(book, [first]), [second]), apply(apply(book, [second]), [first])
    assert one_way.agent("solver").rules == other_way.agent("solver").rules == together.agent("solver").rules
    assert role_words(one_way.agent("solver")) == role_words(other_way.agent("solver"))


@settings(deadline=None)
@given(prompts, new_texts)
def test_deleting_what_was_added_gives_the_prompt_back(text: str, new: str) -> None:
    book = book_of(text)
    changed, rule_id = apply_one(book, add(new))
    assert rule_id == f"r{book.agent('solver').next_id}"
    back = apply(changed, [delete(changed, rule_id)])
    assert back.render("solver") == book.render("solver")
    assert back.agent("solver").next_id == book.agent("solver").next_id + 1


@settings(deadline=None)
@given(prompts, st.data())
def test_the_same_modify_fits_only_once(text: str, data: st.DataObject) -> None:
    book = book_of(text)
    free = [rule.id for rule in book.agent("solver").rules if not _fields(rule)]
    if free:
        edit = modify(book, data.draw(st.sampled_from(free)), "something else")
        changed = apply(book, [edit])
        with pytest.raises(EditError, match="has changed since the edit was written"):
            apply(changed, [edit])
        assert apply(book, [edit]) == changed


def after(text: str, *edits: tuple[str, str] | str) -> str:
    """The prompt after edits: "text" adds, ("r1", "text") modifies, ("r1", "") deletes."""
    book = book_of(text)
    out = []
    for n, edit in enumerate(edits):
        if isinstance(edit, str):
            out.append(add(edit, f"e1.{n}"))
        else:
            out.append(modify(book, *edit, f"e1.{n}") if edit[1] else delete(book, edit[0], f"e1.{n}"))
    return apply(book, out).render("solver")


@pytest.mark.parametrize(
    ("prompt", "edit", "result"),
    [
        ("- a\n- b\n\nEnd.", "c", "- a\n- b\n- c\n\nEnd."),
        ("- a\n\n- b\n", "c", "- a\n\n- b\n\n- c\n"),
        ("  * a\n  * b\n", "c\nd", "  * a\n  * b\n  * c\n    d\n"),
        ("9. a\n", "b\nc", "9. a\n10. b\n    c\n"),
        ("1. a\n1. b\n", "c", "1. a\n1. b\n1. c\n"),
        ("(a) one\n(b) two\n", "three", "(a) one\n(b) two\n(c) three\n"),
        ("- a\r\n- b\r\n", "c", "- a\r\n- b\r\n- c\r\n"),
        ("Role.", "a", "Role.\n\n- a"),
        ("Role.\n", "a\nb", "Role.\n\n- a\n  b\n"),
        ("", "a", "- a"),
        ("Never lie. It is late.", "Always go.", "Never lie. Always go. It is late."),
        ("Rules:\nBe kind.\nBe brief.\n", "Be fair.", "Rules:\nBe kind.\nBe brief.\nBe fair.\n"),
        (
            "<rule>A b.</rule>\n<rule>C d.</rule>\n",
            "E",
            "<rule>A b.</rule>\n<rule>C d.</rule>\n<rule>E</rule>\n",
        ),
        ("- a\n\n  ```\n  x\n  ```\nEnd.", "b", "- a\n\n  ```\n  x\n  ```\n- b\nEnd."),
        ("1. a\n2. b\n3. c\n", ("r2", ""), "1. a\n2. c\n"),
        ("1. a\n2. b\n3. c\n", ("r1", ""), "1. b\n2. c\n"),
        ("1) a\n2) b\n\nText.\n\n1) c\n2) d", ("r1", ""), "1) b\n\nText.\n\n1) c\n2) d"),
        ("- a\n\n- b\n\n- c\n", ("r2", ""), "- a\n\n- c\n"),
        ("Role.\n\n- a\n\nEnd.\n", ("r1", ""), "Role.\n\nEnd.\n"),
        ("Never lie. It is late.", ("r1", ""), "It is late."),
        ("It is late. Never lie.", ("r1", ""), "It is late."),
        ("<rule>A b.</rule>\n<rule>C d.</rule>\n", ("r1", ""), "<rule>C d.</rule>\n"),
        ("1. a\n   b\n2. c", ("r1", "x\ny\n\nz"), "1. x\n   y\n\n   z\n2. c"),
        ("- a\n- b", ("r1", "## H\n{ }"), "- ## H\n  { }\n- b"),
        ("Never lie. It is late.", ("r1", "Lie."), "Lie. It is late."),
    ],
)
def test_layout(prompt: str, edit: tuple[str, str] | str, result: str) -> None:
    assert after(prompt, edit) == result


def test_a_set_is_checked_against_the_book_it_was_written_for() -> None:
    text = "1. a\n2. b\n3. c\n"
    assert after(text, ("r1", ""), ("r2", "B"), "d", ("r3", ""), "e") == "1. B\n2. d\n3. e\n"
    book = book_of(text)
    before = book.to_json()
    with pytest.raises(EditError):
        apply(book, [delete(book, "r1"), modify(book, "r2", " ")])
    assert book.to_json() == before


def test_template_fields_are_kept_and_not_invented() -> None:
    book = book_of("For {who}.\n- Greet {{ who }} in {language}.\n- Go.")
    for text in ("Greet {who}.", "Greet {who} in French."):
        with pytest.raises(EditError, match=r"would lose the template field \{language\}"):
            apply(book, [modify(book, "r1", text)])
    with pytest.raises(EditError, match=r"would lose the template field \{language\}, \{who\}"):
        apply(book, [delete(book, "r1")])
    with pytest.raises(
        EditError, match=r"brings the template field \{place\}.*there are: \{language\}, \{who\}"
    ):
        apply(book, [modify(book, "r2", "Go to {place}.")])
    changed = apply(
        book, [modify(book, "r2", 'Go with {who} as {"a": 1}, {} and {1}.'), add("Speak {language}.")]
    )
    assert changed.agent("solver").fields == {"who", "language"}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Edit("e1", "DELETE", "nobody", "r1", "x"), "no agent 'nobody'; its agents are: other, solver"),
        (Edit("e1", "DELETE", "solver", "r9", "x"), "has no rule 'r9'; its rules are: r1, r2"),
        (Edit("e1", "DELETE", "solver", "r1", "x"), "the edit saw x"),
        (Edit("e1", "DELETE", "solver", "r1"), "the edit saw none"),
        (Edit("e1", "ADD", "solver", text=" \n"), "the new text is empty"),
        (Edit("e1", "ADD", "solver", "r1", text="x"), "an ADD names no rule"),
        (Edit("e1", "ADD", "solver", text="x", kind="example"), "an example quotes a train task"),
        (Edit("e1", "ADD", "solver", text="x", task="t1"), "only an example quotes a task"),
        (Edit("e1", "MOVE", "solver", text="x"), "no such operation"),  # type: ignore[arg-type]
    ],
)
def test_an_edit_that_does_not_fit_is_an_error(edit: Edit, message: str) -> None:
    with pytest.raises(EditError) as error:
        apply(book_of("- a\n- b"), [edit])
    assert message in str(error.value)
    assert "edit e1" in str(error.value)


def test_protected_rules_and_doubled_targets_are_refused(tmp_path: Path) -> None:
    (tmp_path / "solver.md").write_text("- <!--r1 protected--> a\n- <!--r2--> b\n")
    book = read_rules(tmp_path)
    for edit in (modify(book, "r1", "x"), delete(book, "r1")):
        with pytest.raises(EditError, match="rule 'r1' is protected"):
            apply(book, [edit])
    with pytest.raises(EditError, match="edits e1 and e2 change the same rule 'r2'"):
        apply(book, [modify(book, "r2", "x", "e1"), delete(book, "r2", "e2")])


def test_an_example_is_a_rule_that_names_its_task() -> None:
    edit = Edit("e1", "ADD", "solver", text="Q: 1 m?\nA: 100 cm", kind="example", task="t7")
    book, rule_id = apply_one(book_of("- a"), edit)
    assert book.agent("solver").rule(rule_id) == Rule("r2", "Q: 1 m?\nA: 100 cm", "example", task="t7")
    assert book.render("solver") == "- a\n- Q: 1 m?\n  A: 100 cm"
