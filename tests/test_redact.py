"""What is masked, what is not, and that masking can be repeated."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph_truce.errors import UserMistake
from langgraph_truce.redact import MASK, Redactor, closed_msgpack, env_secrets, opened_msgpack

ROOT = Path(__file__).parents[1]
BODY = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6kL9nP2rS5uX8"
KEY = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", BODY, BODY, "-----END RSA PRIVATE KEY-----"])
SECRETS = {
    "openai": f"sk-proj-{BODY[:40]}",
    "anthropic": f"sk-ant-api03-{BODY[:40]}",
    "aws": "AKIA" + "IOSFODNN7EXAMPL3",
    "google": "AIza" + BODY[:35],
    "github": "ghp_" + BODY[:36],
    "slack": "xoxb-" + "123456789012-abcdefghijkl",
    "huggingface": "hf_" + BODY[:34],
    "langsmith": "lsv2_pt_" + BODY[:40],
    "stripe": "sk_live_" + BODY[:24],
    "jwt": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV",
    "pem": KEY,
    "pem in json": json.dumps(KEY)[1:-1],
}
PLACES = ("{}", "the key is {}.", '{{"a": "{}"}}', "(see {})", "first line\n{}\nlast line")
PASSWORDS = (
    ("postgresql://truce:{}@db.example:5432/runs", "hunter2"),
    ("redis://:{}@127.0.0.1:6379/0", "s3cr3t!"),
    ("failed: postgres://u:{}@h/d and more", "p%40ss@word"),
    ("host=db user=truce password={} dbname=runs", "hunter22"),
    ("DefaultEndpointsProtocol=https;AccountName=x;AccountKey={};", "Zm9vYmFyYmF6MTIz=="),
    ("Authorization: Bearer {}", "abcDEF123456ghiJKL789"),
    ('"authorization": "Basic {}"', "dXNlcjpwYXNzd29yZA=="),
    ("api_key='{}'", "0123456789abcdef0123"),
    ("OPENAI_API_KEY={}", "notinaform0123456789"),
    ("aws_secret_access_key = {}", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1"),
)
PLAIN = Redactor(secrets=())


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("place", PLACES)
def test_a_key_is_masked_wherever_it_stands(name: str, place: str) -> None:
    assert PLAIN.text(place.format(SECRETS[name])) == place.format(MASK)


@pytest.mark.parametrize(("place", "secret"), PASSWORDS)
def test_only_the_password_is_masked_and_what_stands_around_it_stays(place: str, secret: str) -> None:
    assert PLAIN.text(place.format(secret)) == place.format(MASK)


@pytest.mark.parametrize(
    "text",
    [
        "sk-learn-is-a-library-for-machine-learning",
        "the bearer of this letter is my brother",
        "see https://example.org:8080/a/b@c and git@example.org:a/b",
        "postgresql://USER:{password}@HOST/DB and http://user:$PASSWORD@host",
        "password = read_password_from_the_terminal_1(prompt)",
        "a token is a word; the secret key of success",
        "primary_key: customer_id, task-2024-11-21-000017",
        "eyJ is how base64 of JSON begins",
    ],
)
def test_what_only_looks_like_one_stays(text: str) -> None:
    assert PLAIN.text(text) == text


@given(
    st.lists(
        st.sampled_from([*SECRETS.values(), "user:", "://", "@", " ", '"', "key=", "x1"])
        | st.text(max_size=9)
    )
)
def test_masking_twice_changes_nothing_more(parts: list[str]) -> None:
    once = PLAIN.text("".join(parts))
    assert PLAIN.text(once) == once


@given(st.sampled_from(sorted(SECRETS)), st.text(max_size=20), st.text(max_size=20))
def test_a_masked_reply_in_a_prompt_names_the_same_call(name: str, before: str, after: str) -> None:
    """The journal names a call by its prompt as JSON: with the secret, and with what a resumed run reads back."""
    said = f"{before} {SECRETS[name]} {after}"
    assert PLAIN.text(json.dumps([said])) == PLAIN.text(json.dumps([PLAIN.text(said)]))


def test_values_of_secret_variables_are_masked_anywhere() -> None:
    environ = {
        "MY_SERVICE_TOKEN": 'odd "value" 12345',
        "DATABASE_URL": "postgresql://u:correcthorse/battery@h/d".replace("/battery", "battery"),
        "SSH_AUTH_SOCK": "/tmp/ssh-agent.0123456789",
        "SHORT_KEY": "abc",
        "USE_AUTH": "true",
        "KEYBOARD": "us-international-12345",
        "HOME": "/home/somebody-0123456789",
    }
    known = env_secrets(environ)
    redact = Redactor(secrets=known)

    assert redact.text('it is odd "value" 12345!') == f"it is {MASK}!"
    assert redact.text(json.dumps({"a": 'odd "value" 12345'})) == json.dumps({"a": MASK})
    assert redact.text("say correcthorsebattery") == f"say {MASK}"
    assert not any(
        environ[name] in known for name in ("SSH_AUTH_SOCK", "SHORT_KEY", "USE_AUTH", "KEYBOARD", "HOME")
    )
    assert "correct" not in repr(redact)


def test_json_is_masked_at_any_depth_and_the_same_object_comes_back_where_nothing_is() -> None:
    clean = {"a": [1, {"b": "x"}], "c": None}
    assert PLAIN.json(clean) is clean
    dirty = {"a": [1, {SECRETS["aws"]: "x"}, SECRETS["openai"]], "c": None}
    assert PLAIN.json(dirty) == {"a": [1, {MASK: "x"}, MASK], "c": None}


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers(-(2**63), 2**64 - 1) | st.text(st.characters(exclude_categories=["Cs"])) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(VALUES)
def test_msgpack_opened_and_closed_is_the_same(value: Any) -> None:
    kind, data = JsonPlusSerializer().dumps_typed([value])
    assert kind == "msgpack"
    assert closed_msgpack(opened_msgpack(data)) == data
    assert PLAIN.msgpack(data) == data


def test_state_in_msgpack_is_masked_inside_of_objects_and_stays_readable() -> None:
    serde = JsonPlusSerializer()
    now, name = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), uuid.UUID(int=7)
    state = {
        "messages": [AIMessage(f"take {SECRETS['openai']}", id="m")],
        "raw": f"xx{SECRETS['aws']}yy".replace("xxA", "xx A").encode(),
        "when": now,
        (1, 2): {name, 3},
    }
    kind, data = serde.dumps_typed(state)
    masked = PLAIN.msgpack(data)
    back = serde.loads_typed((kind, masked))

    assert SECRETS["openai"].encode() not in masked
    assert back["messages"] == [AIMessage(f"take {MASK}", id="m")]
    assert back["raw"] == state["raw"] or len(back["raw"]) == len(state["raw"])  # type: ignore[arg-type]
    assert back["when"] == now
    assert back[1, 2] == {name, 3}


def test_bytes_keep_their_length() -> None:
    data = b"\x00\xff " + SECRETS["github"].encode() + b" \x80"
    masked = PLAIN.raw(data)
    assert masked == b"\x00\xff " + b"*" * len(SECRETS["github"]) + b" \x80"


def test_the_hook_sees_what_the_forms_left_and_its_mistakes_are_named() -> None:
    redact = Redactor(lambda text: text.replace("Jane", "J."), ())
    assert redact.json({"a": f"Jane {SECRETS['aws']}"}) == {"a": f"J. {MASK}"}

    def broken(text: str) -> str:
        raise KeyError(text)

    with pytest.raises(UserMistake, match=r"Run\.redact raised KeyError; mend it"):
        Redactor(broken, ()).text("Jane")
    with pytest.raises(UserMistake, match=r"Run\.redact gave a NoneType"):
        Redactor(lambda text: None, ()).text("Jane")  # type: ignore[arg-type, return-value]


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def test_no_text_of_the_shipped_graphs_and_examples_is_taken_for_a_secret() -> None:
    files = [
        f for top in ("graphs", "evaluators", "examples") for f in (ROOT / top).rglob("*") if f.is_file()
    ]
    texts = [
        f.read_text(encoding="utf-8") for f in files if f.suffix in {".py", ".md", ".json", ".jsonl", ".toml"}
    ]
    assert len(texts) > 20
    assert [t[:80] for t in texts if PLAIN.holds_secret(t)] == []


def test_no_text_of_the_real_tasks_is_taken_for_a_secret(truce_data: Path) -> None:
    seen, wrong = 0, []
    for file in sorted(truce_data.rglob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            for text in strings(json.loads(line)):
                seen += 1
                if PLAIN.holds_secret(text):
                    wrong.append((file.name, text[:80]))
    assert seen > 100_000
    assert wrong == []
