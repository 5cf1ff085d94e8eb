"""What models cost: from a file, from the library's own data, or not known."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from langgraph_truce.errors import UserMistake
from langgraph_truce.model.meter import Tally
from langgraph_truce.model.prices import Price, Prices, usd

JSON = """{
  "gpt-4o": {"input": 1.0, "output": 2},
  "vllm:qwen": {"input": 0, "output": 0, "request": 0.5}
}
"""


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_comes_before_the_library(tmp_path: Path) -> None:
    prices = Prices.of(written(tmp_path, "prices.json", JSON))
    library = Prices.of(None)

    own, known = prices.find("openai:gpt-4o"), library.find("openai:gpt-4o")
    assert own is not None
    assert known is not None
    assert (own.input, own.output) == (1.0, 2.0)
    assert known.input > own.input
    assert prices.find("openai:gpt-4o-mini") == library.find("openai:gpt-4o-mini")


def test_toml_says_the_same_as_json(tmp_path: Path) -> None:
    toml = '["gpt-4o"]\ninput = 1.0\noutput = 2\n["vllm:qwen"]\ninput = 0\noutput = 0\nrequest = 0.5\n'
    one = Prices.of(written(tmp_path, "p.toml", toml))
    other = Prices.of(written(tmp_path, "p.json", JSON))

    for name in ("gpt-4o", "openai:gpt-4o", "vllm:qwen"):
        assert one.find(name) == other.find(name) is not None
    assert one.find("vllm:qwen") == Price(0.0, 0.0, 0.5)


def test_names_with_a_provider_a_date_or_a_colon_are_found() -> None:
    prices = Prices.of({"llama3:8b": {"input": 3, "output": 4}})

    assert prices.find("openai:gpt-4o-2024-08-06") == prices.find("openai:gpt-4o") is not None
    assert prices.find("azure:gpt-4o") is not None
    assert prices.find("google_genai:models/gemini-2.5-pro") == prices.find("google_genai:gemini-2.5-pro")
    assert prices.find("ollama:llama3:8b") == prices.find("llama3:8b") == Price(3.0, 4.0)
    assert prices.find("nobody:nothing-of-that-name") is None
    assert prices.find("") is None


def test_the_embedded_model_is_free() -> None:
    found = Prices.of(None).find("openai:SmolLM2-135M-Instruct")

    assert found is not None
    assert found.most(1_000_000, 1_000_000) == 0.0


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a price was fetched")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    assert Prices.of(None).find("anthropic:claude-sonnet-4-5") is not None


@pytest.mark.parametrize(
    "name", ["anthropic:claude-sonnet-4-5", "google_genai:gemini-2.5-pro", "openai:gpt-4o"]
)
def test_no_call_costs_more_than_it_can_at_most(name: str) -> None:
    price = Prices.of(None).find(name)
    assert price is not None

    for into in (0, 1, 1000, 200_000, 200_001, 900_000):
        for less in (0, into // 2, into):
            assert price.of(less, 100) <= price.most(into, 100) + 1e-12


def test_long_inputs_have_their_own_rates() -> None:
    price = Prices.of(None).find("anthropic:claude-sonnet-4-5")
    assert price is not None
    assert price.tiers
    start = price.tiers[0][0]

    assert price.of(start + 1, 0) > 1.5 * price.of(start, 0)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.json", '{\n "a": {"input": 1,}\n}', ["p.json:2", "not JSON"]),
        ("p.toml", "[a\n", ["p.toml", "line 1"]),
        ("p.json", "[1]", ["an object by model"]),
        ("p.json", '{\n "a": {"input": 1}}', ["p.json:2", "'a'", "has no 'output'"]),
        ("p.json", '{"a": {"input": 1, "output": 2, "cached": 3}}', ["'a'", "'cached'", "input, output, request"]),
        ("p.json", '{"a": {"input": -1, "output": 2}}', ["'a'", "'input' is -1", "0 or more"]),
        ("p.json", '{"a": {"input": "1", "output": 2}}', ["'input' is '1'"]),
        ("p.json", '{"a": {"input": true, "output": 2}}', ["'input' is True"]),
        ("p.json", '{"a": 3}', ["'a' is 3"]),
    ],
)  # fmt: skip
def test_a_bad_file_says_where(tmp_path: Path, name: str, text: str, said: list[str]) -> None:
    with pytest.raises(UserMistake) as raised:
        Prices.of(written(tmp_path, name, text))
    for part in said:
        assert part in str(raised.value)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match=r"gone\.json.*cannot be read"):
        Prices.of(tmp_path / "gone.json")


def test_dollars_by_purpose_and_none_where_one_price_is_unknown() -> None:
    prices = Prices.of({"a": {"input": 1, "output": 10, "request": 0.25}})
    paid = Tally(calls=2, input_tokens=1_000_000, output_tokens=500_000)

    found = usd({"task": {"a": paid, "": Tally(hits=3)}}, prices)
    assert found == {"task": pytest.approx(0.5 + 1 + 5), "total": pytest.approx(6.5)}

    found = usd({"task": {"a": paid}, "credit": {"unheard-of": paid}}, prices)
    assert found == {"task": pytest.approx(6.5), "credit": None, "total": None}
