"""One journalled reply as JSON, and the name of a call. No pickle, and no class is looked up by name when reading."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, messages_from_dict
from langchain_core.outputs import ChatGeneration, Generation

from langgraph_truce.trajectory.step import Usage

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
# what a provider adds to a reply and never reads again; a reply read back from the journal has other values there
_UNSENT = ("response_metadata", "usage_metadata", "id")


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished reply and what it cost."""

    generations: Sequence[Mapping[str, Any]]
    """`{"message", "info"}` or, for plain generations, `{"text", "info"}`."""
    purpose: str
    model: str = ""
    """The model's name as its provider gives it."""
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    """Time the call took."""
    place: str = ""
    """Where in the system the call was made, for a reader; the key holds it too."""
    scope: Sequence[str] = field(default_factory=tuple)
    asked: str = ""
    """The model as it was asked for, `PROVIDER:MODEL`: what its price is found by."""

    def to_json(self) -> dict[str, Any]:
        """As JSON; `from_json` reads it back equal."""
        return {
            "generations": list(self.generations),
            "purpose": self.purpose,
            "model": self.model,
            "input_tokens": self.usage.input_tokens,
            "output_tokens": self.usage.output_tokens,
            "seconds": self.seconds,
            "place": self.place,
            "scope": list(self.scope),
            "asked": self.asked,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Entry:
        """Read what `to_json` wrote."""
        usage = Usage(data["input_tokens"], data["output_tokens"])
        return cls(
            tuple(data["generations"]),
            data["purpose"],
            data["model"],
            usage,
            data["seconds"],
            data["place"],
            tuple(data["scope"]),
            data.get("asked", ""),
        )


def encode(generations: Sequence[Generation]) -> tuple[dict[str, Any], ...]:
    """Generations as JSON; pydantic objects inside a message become mappings, other objects their `str`."""
    return tuple(_encode(g) for g in generations)


def decode(rows: Sequence[Mapping[str, Any]]) -> list[Generation]:
    """What `encode` wrote, as fresh objects."""
    return [_decode(row) for row in rows]


def usage_of(generations: Sequence[Generation]) -> Usage:
    """Tokens of a reply, as far as its provider said."""
    for g in generations:
        if isinstance(g, ChatGeneration) and isinstance(g.message, AIMessage) and g.message.usage_metadata:
            said = g.message.usage_metadata
            return Usage(said.get("input_tokens"), said.get("output_tokens"))
    return Usage()


def model_of(generations: Sequence[Generation]) -> str:
    """The model's name in a reply; empty where its provider does not give it."""
    for g in generations:
        if isinstance(g, ChatGeneration):
            return str(g.message.response_metadata.get("model_name") or "")
    return ""


def digest(scope: Sequence[str], place: str, llm: str, prompt: str, mask: Callable[[str], str] = str) -> str:
    """SHA-256 name of a call, without its occurrence.

    Only the hash is stored: what a model's parameters hold is not written down. Object addresses and what no
    provider reads again (ids, usage of earlier replies) do not count, so a resumed run finds its own calls. `mask` takes
    secrets out of the prompt: no trace of them is kept, and a prompt that holds a masked reply has the same name.
    """
    parts = [*scope, place, _ADDRESS.sub("", llm), mask(sent(prompt))]
    lengths = ",".join(str(len(p)) for p in parts)  # so that no two lists of parts run together
    return hashlib.sha256("".join([lengths, ";", *parts]).encode("utf-8", "surrogatepass")).hexdigest()


def sent(prompt: str) -> str:
    """LangChain's cache prompt without what earlier replies carry along (ids, usage, provider's metadata)."""
    if '"AIMessage' not in prompt:
        return prompt  # no earlier reply in it: nothing to take out, and no parsing to pay for
    messages = json.loads(prompt)
    for message in messages:
        inner = message["kwargs"]
        inner.get("additional_kwargs", {}).pop("parsed", None)
        message["kwargs"] = {k: v for k, v in inner.items() if k not in _UNSENT and (v or k == "content")}
    return json.dumps(messages)


def _encode(g: Generation) -> dict[str, Any]:
    info = g.generation_info
    if not isinstance(g, ChatGeneration):
        return {"text": g.text, "info": info}
    return {"message": {"type": g.message.type, "data": _dump(g.message)}, "info": info and _plain(info)}


def _dump(message: BaseMessage) -> Any:
    return message.model_dump(mode="json", fallback=str)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _decode(row: Mapping[str, Any]) -> Generation:
    if "message" not in row:
        return Generation(text=row["text"], generation_info=row["info"])
    (message,) = messages_from_dict([{"type": row["message"]["type"], "data": row["message"]["data"]}])
    return ChatGeneration(message=message, generation_info=row["info"])
