"""Hard replies: what each extraction rule reads, by its written definition, also where that is not what was meant."""

# ruff: noqa: RUF001 - full-width characters are part of what is read

from __future__ import annotations

import pytest

from langgraph_truce.choices import read_choice

FOUR, FIVE, TEN = "ABCD", "ABCDE", "ABCDEFGHIJ"

# reply, letters, then what first_standalone, last_parenthesised and dylan read ("" is invalid)
TABLE = [
    # plain forms
    ("B", FOUR, "B", "", ""),
    ("B.", FOUR, "B", "", ""),
    ("(B)", FOUR, "B", "B", "B"),
    ("B)", FOUR, "B", "", "B"),
    ("[B]", FOUR, "B", "", ""),
    ("The answer is (B).", FOUR, "B", "B", "B"),
    ("Answer: C) 12", FOUR, "C", "", "C"),
    ("Answer:\nC", FOUR, "C", "", ""),
    ("C\nBecause the sum is even.", FOUR, "C", "", ""),
    ("Final answer: **D**", FOUR, "D", "", ""),
    ("**D**", FOUR, "D", "", ""),
    ("__B__", FOUR, "B", "", ""),
    ("_C_", FOUR, "C", "", ""),
    ("`A`", FOUR, "A", "", ""),
    ("**(B)** 12 km", FOUR, "B", "B", "B"),
    ("(**B**)", FOUR, "B", "B", ""),
    ("( B )", FOUR, "B", "B", ""),
    ('{"answer":"B"}', FOUR, "B", "", ""),
    ('{"answer": "(C)", "why": "it fits"}', FOUR, "C", "C", "C"),
    ("<answer>D</answer>", FOUR, "D", "", ""),
    (r"\boxed{C}", FOUR, "C", "", ""),
    (r"So $\boxed{\text{C}}$.", FOUR, "C", "", ""),
    (r"The answer is \(C\).", FOUR, "C", "C", ""),
    ("\\boxed{\\mathbf{(D)}}", FOUR, "D", "D", "D"),
    # case
    ("b", FOUR, "", "", ""),
    ("the answer is b", FOUR, "", "", ""),
    ("(b)", FOUR, "", "B", "B"),
    ("b) 12", FOUR, "", "", "B"),
    # the article, the pronoun, and letters as names
    ("A train leaves at noon, so it is C.", FOUR, "C", "", ""),
    ("A Bayesian network needs D.", FOUR, "D", "", ""),
    ("A 240 m long train passes: B", FOUR, "B", "", ""),
    ("A 10% loss follows. (D)", FOUR, "D", "D", "D"),
    ('A "closed" system keeps its mass: C', FOUR, "C", "", ""),
    ("This is a hard one. A person who waits loses.", FOUR, "", "", ""),
    ("A", FOUR, "A", "", ""),
    ("A. Because water boils.", FOUR, "A", "", ""),
    ("A is right because water boils.", FOUR, "A", "", ""),
    ("A because water boils.", FOUR, "A", "", ""),
    ("A 32400", FOUR, "A", "", ""),
    ("Option A says it all.", FOUR, "A", "", ""),
    ("Option A explains it.", FOUR, "A", "", ""),
    ("The answer is A water molecule.", FOUR, "A", "", ""),
    ("I'd say A or B", FOUR, "A", "", ""),
    ("I think the answer is J", TEN, "J", "", ""),
    ("The answer I get is H", TEN, "H", "", ""),
    ("I would have said J", TEN, "J", "", ""),
    ("I", TEN, "I", "", ""),
    ("I is the only one left.", TEN, "I", "", ""),
    # letters inside something else
    ("Vitamins B12 and C3 are there, hence D", FOUR, "D", "", ""),
    ("It is 25 °C outside, so B", FOUR, "B", "", ""),
    ("C++ is faster than C# here: B", FOUR, "B", "", ""),
    ("B-cells and A-levels: (D)", FOUR, "D", "D", "D"),
    ("Q&A of R&D: C", FOUR, "C", "", ""),
    ("x_B = 4 and B_1 = 2 and D^2 = 9, so A.", FOUR, "A", "", ""),
    ("Choose one of A/B/C/D: C", FOUR, "C", "", ""),
    ("One letter of A-D: B", FOUR, "B", "", ""),
    ("A Ph.D. in 44 B.C. is impossible: (C)", FOUR, "C", "C", "C"),
    ("In the U.S.A. it is D.", FOUR, "D", "", ""),
    ("B's area is 4, so D.", FOUR, "D", "", ""),
    ("A teacher (a friend) agrees: (C)", FOUR, "C", "C", "C"),
    # several letters
    ("(A) is wrong and (B) is wrong, so (C)", FOUR, "A", "C", "C"),
    ("A) 5 B) 6 C) 7 D) 8. The answer is C", FOUR, "A", "", "D"),
    ("(a) true (b) false", FOUR, "", "B", "B"),
    ("The answer is (C), vitamin (A)", FOUR, "C", "A", "A"),
    ("P(A) = 0.3, hence the answer is (D)", FOUR, "A", "D", "D"),
    ("f) then food) and (x), so B)", FOUR, "B", "", "B"),
    ("It is cold) and bad)", FOUR, "", "", ""),
    # not among the letters
    ("E", FOUR, "", "", ""),
    ("Option E", FOUR, "", "", ""),
    ("(E)", FOUR, "", "", ""),
    ("(E)", FIVE, "E", "E", "E"),
    ("(B) seems close, yet (E)", FOUR, "B", "B", "B"),
    ("(B) seems close, yet (E)", FIVE, "B", "E", "E"),
    ("J) 10", TEN, "J", "", "J"),
    ("none of the above", FOUR, "", "", ""),
    ("The answer is (5).", FOUR, "", "", ""),
    ("42", FOUR, "", "", ""),
    ("", FOUR, "", "", ""),
    (" \n\t", FOUR, "", "", ""),
    # full-width and other scripts
    ("（Ｂ）", FOUR, "B", "B", "B"),
    ("Ｃ", FOUR, "C", "", ""),
    ("（C) it is", FOUR, "C", "C", "C"),
    ("答案是B。", FOUR, "B", "", ""),
    ("答案：（Ａ）", FOUR, "A", "A", "A"),
    ("(\u3000Ｄ\u3000)", FOUR, "D", "D", ""),
    # reasoning tags
    ("<think>It could be (A).</think> (B)", FOUR, "B", "B", "B"),
    ("<THINK>A</THINK>\n\nC", FOUR, "C", "", ""),
    ("<think>A <think>B</think> C</think> D", FOUR, "D", "", ""),
    ("<thinking>A</thinking>B<reasoning>C</reasoning>", FOUR, "B", "", ""),
    ("<think>First, (A) is out, then", FOUR, "", "", ""),
    ("(B) <think>or rather (C)", FOUR, "B", "B", "B"),
    ("So (A) it is not.</think>The answer is (D).", FOUR, "D", "D", "D"),
    ('<think mode="long">(A)</think>(C)', FOUR, "C", "C", "C"),
    ("<seed:think>A</seed:think>B", FOUR, "B", "", ""),
    ("[THINK](A)[/THINK](B)", FOUR, "B", "B", "B"),
    ("◁think▷(A)◁/think▷(B)", FOUR, "B", "B", "B"),
    ("＜think＞(A)＜/think＞(B)", FOUR, "B", "B", "B"),
    ("<think>(A) <reason> (B)</think> (C)", FOUR, "C", "C", "C"),
    ("<think/>(C)", FOUR, "C", "C", "C"),
    ("I <thinker> (D)", FOUR, "D", "D", "D"),
    ("[Reasoning] (A) fails. [Answer] (B)", FOUR, "A", "B", "B"),
]
RULES = ("first_standalone/1", "last_parenthesised/1", "dylan/1")
CASES = [
    pytest.param(reply, letters, rule, expected, id=f"{rule}-{reply[:40]}-{len(letters)}")
    for reply, letters, *read in TABLE
    for rule, expected in zip(RULES, read, strict=True)
]


@pytest.mark.parametrize(("reply", "letters", "rule", "expected"), CASES)
def test_each_rule_reads_what_its_definition_says(reply: str, letters: str, rule: str, expected: str) -> None:
    assert read_choice(reply, letters, rule=rule) == expected


def test_the_table_is_long_and_tells_the_rules_apart() -> None:
    reads = [tuple(read) for _, _, *read in TABLE]

    assert len(TABLE) >= 60
    assert all(sum(r[i] != r[j] for r in reads) >= 10 for i, j in ((0, 1), (0, 2), (1, 2)))
