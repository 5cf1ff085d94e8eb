"""From what was heard to slots, without a graph."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage, SystemMessage

from langgraph_truce.bind.discover.find import find, stands_for
from langgraph_truce.bind.discover.record import Call, Recording
from langgraph_truce.bind.discover.source import CodeText, Source
from langgraph_truce.bind.found import Slot

TEMPLATES = (
    "You are a planner of long trips.\n- Plan for {a}.\n- Mind {b}.",
    "You are a critic of plans, and {a} is what you like best.",
    "Translate {a} into French.",
    "{a}",
    "Say {{yes}} or {a}, {b}",
)
VALUE = st.text(alphabet=st.sampled_from("abc de\n{}.?1"), max_size=25)


def recorded(texts: list[str], inputs: list[dict[str, str]] | None = None) -> Recording:
    recording = Recording()
    for n, text in enumerate(texts):
        visit = f"{n} solver:{n}"
        recording.calls.append(Call("solver", (SystemMessage(text), HumanMessage("Go.")), visit, n))
        recording.given[visit].append(inputs[n] if inputs else {"n": n})
    return recording


@st.composite
def sent(draw: st.DrawFn) -> tuple[list[str], list[dict[str, str]]]:
    texts, inputs = [], []
    for _ in range(draw(st.integers(1, 6))):
        values = {"a": draw(VALUE), "b": draw(VALUE)}
        template = draw(st.sampled_from(TEMPLATES))
        texts.append(template.replace("{a}", values["a"]).replace("{b}", values["b"]))
        inputs.append(values if draw(st.booleans()) else {"n": "0"})
    return texts, inputs


@given(sent(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_every_text_has_a_slot_that_gives_it_back_or_is_reported(
    made: tuple[list[str], list[dict[str, str]]], with_code: bool
) -> None:
    texts, inputs = made
    code = Source(tuple(CodeText(t, tuple(f for f in "ab" if f"{{{f}}}" in t)) for t in TEMPLATES[:3]))

    finding = find(recorded(texts, inputs), (), {"solver": code} if with_code else {})

    for text in texts:
        if text.strip() and not finding.unstable:
            assert any(stands_for(heard.slot, text) for heard in finding.heard)
    assert len({h.slot.text for h in finding.heard}) == len(finding.heard)


def test_two_branches_with_varying_fields_are_two_prompts() -> None:
    names = ["Ann", "Bo Li", "Cem", "Dee"]
    texts = [f"You greet {n} as a friend would.\nBe warm." for n in names]
    texts += [f"You refuse what {n} asks for and say why.\nBe short." for n in names]

    found = [h.slot for h in find(recorded(texts), (), {}).heard]

    assert [s.text for s in found] == [
        "You greet {field_1} as a friend would.\nBe warm.",
        "You refuse what {field_1} asks for and say why.\nBe short.",
    ]


def test_a_constant_put_in_by_an_f_string_stays_fixed_text() -> None:
    texts = [f"BASE TEXT. Answer in a line about {x} and nothing else." for x in ("cats", "dogs")]
    code = CodeText("{base} Answer in a line about {topic} and nothing else.", ("base", "topic"))

    found = find(recorded(texts), (), {"solver": Source((code,), constants=frozenset({"BASE TEXT."}))}).heard

    assert found[0].slot == Slot(
        "solver", "BASE TEXT. Answer in a line about {topic} and nothing else.", ("topic",)
    )


def test_what_the_code_computes_is_a_field_even_where_it_did_not_vary() -> None:
    texts = [f"Today is 2026-11-21. Answer in a line about {x} and nothing else." for x in ("cats", "dogs")]
    code = CodeText("Today is {date}. Answer in a line about {topic} and nothing else.", ("date", "topic"))

    found = find(recorded(texts), (), {"solver": Source((code,))}).heard
    one = find(recorded(texts[:1]), (), {"solver": Source((code,))}).heard

    assert [h.slot.text for h in found] == [code.text]
    assert [(h.slot.text, h.once) for h in one] == [(code.text, False)]


def test_many_long_calls_are_read_in_seconds() -> None:
    """100 different prompts of 20,000 characters, with what they were made from in the state."""
    rules = "\n".join(f"- Rule {n}: mind the {n} things that matter." for n in range(150))
    documents = [" ".join(f"w{(i * 7 + k * 13) % 997}" for i in range(2500)) for k in range(100)]
    texts = [f"You read.\n{rules}\n\nDocument: {d}\n\nSay what it says." for d in documents]
    start = time.perf_counter()

    found = find(recorded(texts, [{"document": d} for d in documents]), (), {}).heard

    assert [h.slot.fields for h in found] == [("document",)]
    assert time.perf_counter() - start < 30
