"""ScriptedModel: a chat model that answers from a script; no network, no randomness, all of LangChain's interface."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, SystemMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, PrivateAttr

from langgraph_truce.model.install import call_chunks

Reply = str | AIMessage | BaseException
"""What one call gives: a text, a whole message, or an error to raise (a 429, a time-out)."""
Script = Callable[..., Reply] | Mapping[str, Reply | Sequence[Reply]]
"""A function `(messages)` or `(messages, tools)`, or replies by substring of the system prompt."""
Structured = Literal["tools", "json", "none"]


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """One call that reached the model."""

    messages: tuple[BaseMessage, ...]
    tools: tuple[Mapping[str, Any], ...]
    """Tools bound to the call, in OpenAI's form."""
    response_format: Mapping[str, Any] | None
    """JSON schema asked for, in OpenAI's form; None where none was."""


class ScriptedModel(BaseChatModel):
    """A chat model whose replies are written down beforehand.

    `replies` is one of:

    - a function of the messages, or of the messages and the bound tools (OpenAI's form), that returns a text, an
      `AIMessage`, or an exception to raise;
    - a mapping: the key is a substring of the system prompt (`""` fits every call; the longest fitting key wins); the
      value is one reply for every call, or a sequence whose n-th item answers the n-th call of that key. Each key
      counts for itself, so nodes of a fan-out do not take each other's replies.

    A text that is a JSON object becomes a call of the tool where the caller forces one, as a real provider does it;
    any other text stays text.

    Raises:
        LookupError: on a call, when no key fits or the sequence of a key is used up.
    """

    replies: Any
    """The script, see above."""
    model_name: str = "scripted"
    latency: float = 0.0
    """Seconds each call takes; slept in the event loop for async calls."""
    structured: Structured = "tools"
    """How `with_structured_output` works: forced tool call, JSON text, or not at all (then `bind_tools` fails too)."""
    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None

    _calls: list[ScriptedCall] = PrivateAttr(default_factory=list)
    _counts: dict[str, int] = PrivateAttr(default_factory=dict)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)
    _takes_tools: bool | None = PrivateAttr(default=None)

    @property
    def calls(self) -> tuple[ScriptedCall, ...]:
        """Every call so far, in order of arrival; also those that failed."""
        with self._lock:
            return tuple(self._calls)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        # the script itself stays out: a function's address would change the name of the model in every process
        return {"model_name": self.model_name}

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with `tools` offered; `tool_choice` forces one (`any`, `required` or a name)."""
        if self.structured == "none":
            raise NotImplementedError("this scripted model has no tools (structured='none')")
        forms = [convert_to_openai_tool(t) for t in tools]
        extra = {"tool_choice": tool_choice} if tool_choice else {}
        return super().bind(tools=forms, **extra, **kwargs)

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """As a real chat model's; `method` is `function_calling`, `json_schema` or `json_mode`."""
        method = kwargs.pop("method", "function_calling" if self.structured == "tools" else "json_schema")
        if self.structured == "none":
            raise NotImplementedError("this scripted model has no structured output (structured='none')")
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw)
        form: dict[str, Any] = {"type": "json_object"}
        if method == "json_schema":
            function = convert_to_openai_tool(schema)["function"]
            form = {
                "type": "json_schema",
                "json_schema": {"name": function["name"], "schema": function["parameters"]},
            }
        typed = isinstance(schema, type) and issubclass(schema, BaseModel)
        parser: Any = PydanticOutputParser(pydantic_object=schema) if typed else JsonOutputParser()
        model = self.bind(response_format=form)
        if not include_raw:
            asked: Runnable[LanguageModelInput, Any] = model | parser
            return asked
        parsed = RunnablePassthrough.assign(
            parsed=lambda x: parser.invoke(x["raw"]), parsing_error=lambda _: None
        )
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks([failed], exception_key="parsing_error")

    def _reply(self, messages: list[BaseMessage], kwargs: Mapping[str, Any]) -> AIMessage:
        tools = tuple(kwargs.get("tools") or ())
        call = ScriptedCall(tuple(messages), tools, kwargs.get("response_format"))
        with self._lock:
            self._calls.append(call)
        reply = self._from_function(call) if callable(self.replies) else self._from_mapping(messages)
        if isinstance(reply, BaseException):
            raise reply
        message = AIMessage(reply) if isinstance(reply, str) else reply.model_copy()
        forced = kwargs.get("tool_choice")
        if forced and tools and not message.tool_calls:
            message = _as_tool_call(message, tools, forced, len(self._calls))
        return _with_usage(message, messages, self.model_name)

    def _from_function(self, call: ScriptedCall) -> Reply:
        if self._takes_tools is None:
            self._takes_tools = _positional(self.replies) > 1
        given = (list(call.messages), call.tools) if self._takes_tools else (list(call.messages),)
        reply: Reply = self.replies(*given)
        return reply

    def _from_mapping(self, messages: list[BaseMessage]) -> Reply:
        system = "\n".join(m.text for m in messages if isinstance(m, SystemMessage))
        fitting = [key for key in self.replies if key in system]
        if not fitting:
            there = ", ".join(repr(k) for k in self.replies)
            raise LookupError(
                f"no scripted reply for the system prompt {system[:80]!r}; the keys are: {there}"
            )
        key = max(fitting, key=len)
        with self._lock:
            n = self._counts[key] = self._counts.get(key, 0) + 1
        replies = self.replies[key]
        if isinstance(replies, str | AIMessage | BaseException):
            return replies
        if n > len(replies):
            raise LookupError(f"call {n} of {key!r}, but its script has {len(replies)} replies")
        reply: Reply = replies[n - 1]
        return reply

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - LangChain's signature
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ChatResult:
        if self.latency:
            time.sleep(self.latency)
        return _result(self._reply(messages, kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ChatResult:
        if self.latency:
            await asyncio.sleep(self.latency)
        return _result(self._reply(messages, kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        message = self._generate(messages, stop, run_manager, **kwargs).generations[0].message
        assert isinstance(message, AIMessage)
        for chunk in _chunks(message):
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        message = (await self._agenerate(messages, stop, run_manager, **kwargs)).generations[0].message
        assert isinstance(message, AIMessage)
        for chunk in _chunks(message):
            if run_manager:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


def _positional(function: Callable[..., Any]) -> float:
    """How many positional arguments `function` takes."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind == p.VAR_POSITIONAL for p in parameters):
        return float("inf")
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _as_tool_call(
    message: AIMessage, tools: Sequence[Mapping[str, Any]], forced: object, number: int
) -> AIMessage:
    """A JSON object written as text becomes the forced call; anything else stays as it is."""
    try:
        args = json.loads(message.text)
    except ValueError:
        return message
    if not isinstance(args, dict):
        return message
    names = [t["function"]["name"] for t in tools]
    name = forced if forced in names else names[0]
    call = {"name": name, "args": args, "id": f"call_{number}", "type": "tool_call"}
    return message.model_copy(update={"content": "", "tool_calls": [call]})


def _with_usage(message: AIMessage, messages: Sequence[BaseMessage], model: str) -> AIMessage:
    """Usage counted as a quarter of the characters, which is what tokenizers come near to."""
    given = sum(len(m.text) for m in messages) // 4 + 1
    said = len(message.text) + sum(len(json.dumps(c["args"])) for c in message.tool_calls)
    usage = message.usage_metadata or {
        "input_tokens": given,
        "output_tokens": said // 4 + 1,
        "total_tokens": given + said // 4 + 1,
    }
    finish = "tool_calls" if message.tool_calls else "stop"
    about = {"model_name": model, "finish_reason": finish, **message.response_metadata}
    return message.model_copy(update={"usage_metadata": usage, "response_metadata": about})


def _result(message: AIMessage) -> ChatResult:
    return ChatResult(
        generations=[ChatGeneration(message=message)], llm_output=dict(message.response_metadata)
    )


def _chunks(message: AIMessage) -> Iterator[ChatGenerationChunk]:
    """The message word by word; usage, tool calls and metadata come with the last chunk."""
    *words, last = message.text.split(" ") or [""]
    for word in words:
        yield ChatGenerationChunk(message=AIMessageChunk(content=word + " ", id=message.id))
    yield ChatGenerationChunk(
        message=AIMessageChunk(
            content=last,
            id=message.id,
            tool_call_chunks=call_chunks(message),
            usage_metadata=message.usage_metadata,
            response_metadata=message.response_metadata,
            chunk_position="last",
        )
    )
