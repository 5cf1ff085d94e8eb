"""A LangChain chat model as dspy's language model: its questions go through the journal, the meter and the budget."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from langgraph_truce.baselines.bridge import Bridge

NAME = "prompt-model"
"""What dspy calls it; which model it is, only the bridge knows."""
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_MARKER = re.compile(r"\[\[ ## \w+ ## \]\]")
"""How dspy marks fields in a reply."""


class Engine:
    """dspy's engine contract: one request in, one response out, no cache and no retries of its own.

    Args:
        bridge: asks the model.
        temperature: sent with every question; None: the model's own.
    """

    def __init__(self, bridge: Bridge, temperature: float | None) -> None:
        self._bridge = bridge
        self._temperature = temperature

    def complete(self, request: Any) -> Any:
        """The model's reply."""
        reply = self._bridge.ask(_messages(request), self._temperature)
        usage: Mapping[str, Any] = reply.usage_metadata or {}
        return dspy.lm15.Response(
            id=None,
            model=request.model,
            message=dspy.lm15.Message.assistant(str(reply.text)),
            finish_reason="stop",
            usage=dspy.lm15.Usage(
                input_tokens=usage.get("input_tokens"), output_tokens=usage.get("output_tokens")
            ),
        )


class Adapter(dspy.ChatAdapter):
    """dspy's own adapter; where one field is asked for and the reply names none, the reply is that field.

    Small models leave the field's marker out. dspy would then ask once more for JSON, and give up.
    """

    def __init__(self) -> None:
        super().__init__(use_json_adapter_fallback=False)

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """The fields of a reply."""
        try:
            return dict(super().parse(signature, completion))
        except AdapterParseError:
            fields = list(signature.output_fields)
            said = _MARKER.sub("", _THOUGHT.sub("", completion)).strip()
            if len(fields) != 1 or not said:
                raise
            return {fields[0]: said}


def prompt_model(bridge: Bridge, temperature: float | None) -> Any:
    """The model as dspy takes it; dspy's cache is off, as the journal keeps every reply."""
    return dspy.LM(NAME, engine=Engine(bridge, temperature), cache=False, num_retries=0)


def _messages(request: Any) -> list[BaseMessage]:
    made: list[BaseMessage] = []
    if request.system:
        made.append(SystemMessage(_text(request.system)))
    kinds = {"assistant": AIMessage, "developer": SystemMessage}
    made += [kinds.get(message.role, HumanMessage)(_text(message.parts)) for message in request.messages]
    return made


def _text(parts: Any) -> str:
    return parts if isinstance(parts, str) else "\n".join(part.text for part in parts)
