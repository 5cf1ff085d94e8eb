"""Names and extent of fields, and which values they are known by."""

from __future__ import annotations

from dataclasses import dataclass

from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel

from langgraph_truce.bind.discover.align import fine
from langgraph_truce.bind.discover.fields import identifier, with_names
from langgraph_truce.bind.discover.known import Known, known, message_texts


def named(texts: list[str], *given: object) -> tuple[str, tuple[str, ...]]:
    out = with_names(fine(texts), [known(g) for g in given] or [{} for _ in texts])
    return out.text, out.fields


def test_a_field_grows_to_its_value() -> None:
    text, fields = named(
        ["Fly to San Diego today?", "Fly to San Jose today?"],
        {"city": "San Diego"},
        {"city": "San Jose"},
    )

    assert (text, fields) == ("Fly to {city} today?", ("city",))


def test_a_field_does_not_grow_where_texts_disagree() -> None:
    text, fields = named(
        ["Fly to San Diego now.", "Fly to San Jose now."], {"city": "San Diego"}, {"city": "Jose"}
    )

    assert (text, fields) == ("Fly to San {field_1} now.", ("field_1",))


def test_fields_that_one_value_covers_are_joined() -> None:
    a, b = "how big is the red house by the sea", "how old is the blue ship by the bay"
    text, fields = named([f"Q: {a} ok.", f"Q: {b} ok."], {"q": a}, {"q": b})

    assert (text, fields) == ("Q: {q} ok.", ("q",))


def test_a_value_that_stands_twice_has_one_name() -> None:
    text, fields = named(["Sell cars.\nPraise cars now.", "Sell tea.\nPraise tea now."])

    assert text == "Sell {field_1}.\nPraise {field_1} now."
    assert fields == ("field_1",)


def test_few_words_between_known_values_are_fixed() -> None:
    a, b = {"who": "Ann", "what": "red cars"}, {"who": "Bo", "what": "tea"}
    texts = ["{who} for {what}, {who} and no one else".format(**given) for given in (a, b)]

    assert named(texts, a, b) == ("{who} for {what}, {who} and no one else", ("who", "what"))
    assert named(texts)[0] == "{field_1} and no one else"


def test_names_keep_off_literal_braces() -> None:
    text, fields = named(
        ["Fill {city} and {field_1} with Rome or 1.", "Fill {city} and {field_1} with Oslo or 2."],
        {"city": "Rome"},
        {"city": "Oslo"},
    )

    assert text == "Fill {city} and {field_1} with {city_2} or {field_2}."
    assert fields == ("city_2", "field_2")


def test_a_value_may_be_empty_in_one_call() -> None:
    text, fields = named(["Notes: \nEnd.", "Notes: be kind\nEnd."], {"notes": ""}, {"notes": "be kind"})

    assert (text, fields) == ("Notes: {notes}\nEnd.", ("notes",))


class Model(BaseModel):
    city: str
    parts: list[str]


@dataclass
class Data:
    tone: str


def test_known_values_come_from_every_kind_of_state() -> None:
    found: Known = known(
        {"outer": {"inner": "deep"}, "n": 3, "messages": [HumanMessage("hi"), AIMessage("ho")]},
        Model(city="Rome", parts=["a", "b"]),
        Data("dry"),
    )

    assert "deep" in found["inner"]
    assert "3" in found["n"]
    assert {"hi", "ho"} <= found["messages"]
    assert "Rome" in found["city"]
    assert {"a\nb", "a, b", "- a\n- b", '["a", "b"]', "['a', 'b']"} <= found["parts"]
    assert "dry" in found["tone"]


def test_the_nearest_value_of_a_name_comes_first() -> None:
    assert list(known({"far": "x"}, {"near": "x"})) == ["near", "far"]


def test_messages_are_found_in_state() -> None:
    assert message_texts([{"messages": [HumanMessage("hi")], "x": "no"}, [AIMessage("ho")]]) == {"hi", "ho"}


def test_identifiers() -> None:
    assert [identifier(n) for n in ("a", "a-b", "2nd", "")] == ["a", "a_b", "field_2nd", "field_"]
