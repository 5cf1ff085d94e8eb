"""Ask any chat model for a pydantic object.

Ways, best first: the model's own structured output; a forced tool call; plain text with the schema in the prompt. A
way the model cannot do is skipped, and remembered per model class, model name and form where the error says so; a
request that is refused for any other reason (too long, filtered) is only sent the other ways. Whatever came back is read tolerantly; a
reply that cannot be read gets one repair round, then `ModelReplyError`. Connection errors, 429s and time-outs are the
caller's: they pass through.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, ValidationError

from langgraph_truce.errors import ModelReplyError
from langgraph_truce.model.read import UnreadableError, read_object, validation_words
from langgraph_truce.prompts import load
from langgraph_truce.prompts.quote import draw_marker, quote

M = TypeVar("M", bound=BaseModel)
_QUOTED = 4000  # characters of a bad reply that the repair prompt quotes
_CUT = {"length", "max_tokens", "MAX_TOKENS", "max_output_tokens"}
_REFUSED_STATUS = {400, 404, 415, 422, 501}  # HTTP: the server does not take such a request
_NEVER = re.compile(
    r"not support|unsupported|not enabled|not available|unavailable|not implemented|not allowed|not permitted|requires?\b"
    r"|unrecogni[sz]ed|unknown|unexpected|invalid (?:param|argument|value|type)|extra (?:field|input)s?|no endpoints found",
    re.IGNORECASE,
)
_OF_WAY = re.compile(
    r"response.?format|json.?(?:schema|object|mode)|structured.?output|guided|grammar|tools?\b|tool.?(?:choice|call|use)"
    r"|function.?(?:s\b|call)",
    re.IGNORECASE,
)
_TOO_MUCH = re.compile(
    r"context.?(?:length|window|size)|too (?:long|large|many)|maximum|exceed|content.?(?:filter|policy)",
    re.IGNORECASE,
)
"""Together: an error that says what a model cannot do (`never` and `of a way`), and not that this request was too much."""
_NOT_IMPLEMENTED = 501
_UNSUPPORTED = (NotImplementedError, AttributeError, TypeError, ValueError)

_cannot: set[tuple[str, str, str, str]] = set()
"""(model class, model name, way, form) that a server has said, in this process, it cannot do."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to get an object out of a model."""

    name: str
    build: Callable[[Any, Mapping[str, Any], str], Runnable[Any, Any]]
    """`(model, schema, name)` -> a runnable from prompt to `{"raw": message}` or a message; raises where it cannot."""
    in_prompt: bool = False
    """True: the schema must stand in the prompt."""


def _native(model: Any, schema: Mapping[str, Any], name: str) -> Runnable[Any, Any]:
    if any(kind.__name__ == "BaseChatOpenAI" for kind in type(model).__mro__):
        # given as response_format, openai's client reads the reply itself and raises where it was cut off: a reply that was
        # paid would be neither journalled nor counted
        plain = {k: v for k, v in schema.items() if k not in {"title", "description"}}
        form = {"type": "json_schema", "json_schema": {"name": name, "schema": plain}}
        bound: Runnable[Any, Any] = model.bind(
            extra_body={**(model.extra_body or {}), "response_format": form}
        )
        return bound
    # the schema goes as a mapping: with a class, some clients validate inside the call and lose a reply that is paid
    structured: Runnable[Any, Any] = model.with_structured_output(dict(schema), include_raw=True)
    return structured


def _tool(model: Any, schema: Mapping[str, Any], name: str) -> Runnable[Any, Any]:
    parameters = {k: v for k, v in schema.items() if k not in {"title", "description"}}
    about = schema.get("description", "The answer.")
    tool = {"type": "function", "function": {"name": name, "description": about, "parameters": parameters}}
    bound: Runnable[Any, Any] = model.bind_tools([tool], tool_choice="any")
    return bound


def _text(model: Any, schema: Mapping[str, Any], name: str) -> Runnable[Any, Any]:  # noqa: ARG001
    plain: Runnable[Any, Any] = model
    return plain


WAYS = (Way("native", _native), Way("tool", _tool), Way("text", _text, in_prompt=True))


async def ask(model: Any, prompt: str, schema: type[M], *, config: RunnableConfig | None = None) -> M:
    """Ask `model` for a `schema`.

    Args:
        model: Any chat model, or a runnable around one (`with_retry`, `bind`).
        prompt: What to ask; the schema is added where the model has no other way to learn it.
        schema: A pydantic class; its descriptions are read by the model.
        config: LangChain's config; a `JournalCallback` in it makes both rounds journalled.

    Raises:
        ModelReplyError: no readable reply, also not after one repair round; it carries the last reply.
        Exception: what the model's own client raises (connection, rate limit, time-out), unchanged.
    """
    form = _form(schema)
    first, way = await _send(model, prompt, form, config)
    try:
        return _read(first, schema)
    except UnreadableError as e:
        why = str(e)
    text = said(first)
    # seeded by what it quotes: the same bad reply gives the same prompt on resume, and finds its journalled answer
    marker = draw_marker((prompt, why, text), random.Random(f"{prompt}\0{text}"))
    again = load("repair").fill(
        {
            "error": quote(why, marker),
            "marker": marker,
            "reply": quote(text[:_QUOTED], marker),
            "schema": json.dumps(form, ensure_ascii=False),
            "prompt": prompt,
        }
    )
    second, _ = await _send(model, again, form, config, (way,))
    try:
        return _read(second, schema)
    except UnreadableError as e:
        reply = said(second)
        raise ModelReplyError(
            f"the model gave no readable {schema.__name__}, also not when asked again: {e} (first: {why}); "
            f"the last reply begins {reply[:80]!r}",
            reply,
        ) from e


def said(message: BaseMessage | None) -> str:
    """What a message says, tool calls included; empty where there is no message."""
    if message is None:
        return ""
    calls = [json.dumps(c["args"]) for c in getattr(message, "tool_calls", ())]
    broken = [str(c["args"]) for c in getattr(message, "invalid_tool_calls", ())]
    refusal = message.additional_kwargs.get("refusal") or ""
    return "\n".join(part for part in (message.text, *calls, *broken, refusal) if part)


def _form(schema: type[BaseModel]) -> dict[str, Any]:
    """JSON schema without references, which not every provider follows; one of its own for each caller."""
    return deepcopy(_made_form(schema))


@lru_cache(maxsize=64)
def _made_form(schema: type[BaseModel]) -> dict[str, Any]:
    """Made once: it costs as much as all else that a question costs here."""
    function = convert_to_openai_tool(schema)["function"]
    return {"title": function["name"], "description": function["description"], **function["parameters"]}


async def _send(
    model: Any,
    prompt: str,
    form: Mapping[str, Any],
    config: RunnableConfig | None,
    ways: tuple[Way, ...] = WAYS,
) -> tuple[AIMessage | None, Way]:
    """The reply of the first way that works; None for a reply that its own client refused to hand over."""
    last: Exception | None = None
    for way in ways:
        known = (
            type(model).__qualname__,
            str(getattr(model, "model_name", "")),
            way.name,
            str(form["title"]),
        )
        if known in _cannot and way is not ways[-1]:
            continue
        try:
            runnable = way.build(model, form, str(form["title"]))
        except _UNSUPPORTED as e:
            last = e
            continue
        try:
            got = await runnable.ainvoke(_prompt(way, prompt, form), config)
        except Exception as e:
            if type(e).__name__ in {"LengthFinishReasonError", "ContentFilterFinishReasonError"}:
                return _handed_back(e), way
            if not _refused(e) or way is ways[-1]:
                raise
            last = e
            if _says_never(e):
                _cannot.add(known)
            continue
        return (got["raw"] if isinstance(got, dict) else got), way
    assert last  # the last way is plain text, which every runnable can do
    raise last


def _prompt(way: Way, prompt: str, form: Mapping[str, Any]) -> str:
    if not way.in_prompt:
        return prompt
    schema = json.dumps(form, ensure_ascii=False)
    return load("reply_as_json").fill({"prompt": prompt, "schema": schema})


def _refused(error: Exception) -> bool:
    """True where the server or its client cannot do such a request at all; False for bad luck."""
    return isinstance(error, NotImplementedError) or getattr(error, "status_code", None) in _REFUSED_STATUS


def _says_never(error: Exception) -> bool:
    """True where the error says that the model cannot do it this way, whatever is asked."""
    if isinstance(error, NotImplementedError) or getattr(error, "status_code", None) == _NOT_IMPLEMENTED:
        return True
    said = str(error)
    return bool(_NEVER.search(said) and _OF_WAY.search(said)) and not _TOO_MUCH.search(said)


def _handed_back(error: Exception) -> AIMessage | None:
    """The reply inside openai's complaint that it was cut off or filtered."""
    completion = getattr(error, "completion", None)
    if completion is None or not completion.choices:
        return None
    choice = completion.choices[0]
    about = {"finish_reason": choice.finish_reason}
    return AIMessage(choice.message.content or "", response_metadata=about)


def _read(message: AIMessage | None, schema: type[M]) -> M:
    if message is None:
        raise UnreadableError("the reply was withheld by the provider")
    about = message.response_metadata
    if {about.get("finish_reason"), about.get("stop_reason"), about.get("done_reason")} & _CUT:
        raise UnreadableError("the reply was cut off at its longest length; answer shorter")
    if message.additional_kwargs.get("refusal"):
        raise UnreadableError("the model refused to answer")
    for call in message.tool_calls:
        try:
            return schema.model_validate(call["args"])
        except ValidationError as e:
            raise UnreadableError(validation_words(e)) from e
    broken = [str(c["args"]) for c in message.invalid_tool_calls]
    return read_object("\n".join([*broken, message.text]), schema)
