"""What is global while a journal is installed: LangChain's cache, and streaming that would go past it.

Both are put back when the last journal leaves. Which journal a call belongs to is in the call's own context and
config, never here.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, ToolCallChunk
from langchain_core.runnables import RunnableConfig

from langgraph_truce.entry_points import Entry, attended, rewriting, whole_streams
from langgraph_truce.model.attend import Attendance, journalling
from langgraph_truce.model.place import current, pending, uncached

_lock = threading.RLock()
_count = 0
_dispatcher: _Dispatcher | None = None
_streams = ExitStack()
_attendance = Attendance()


class _Dispatcher(BaseCache):
    """Asks the journal of the call's place; without a place, the cache that was there before."""

    def __init__(self, before: BaseCache | None) -> None:
        self.before = before

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        cache = self._for_lookup()
        return cache.lookup(prompt, llm_string) if cache is not None else None

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        cache = self._for_lookup()
        return await cache.alookup(prompt, llm_string) if cache is not None else None

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        cache = self._for_update()
        if cache is not None:
            cache.update(prompt, llm_string, return_val)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        cache = self._for_update()
        if cache is not None:
            await cache.aupdate(prompt, llm_string, return_val)

    def clear(self, **kwargs: Any) -> None:
        if self.before is not None:
            self.before.clear(**kwargs)

    def _for_lookup(self) -> BaseCache | None:
        place = current.get()
        if place and place.open:
            return place.callback.journal
        pending.set(None)
        return self.before

    def _for_update(self) -> BaseCache | None:
        call = pending.get()
        return call.place.callback.journal if call else self.before


@contextmanager
def installed() -> Iterator[None]:
    """Put the dispatcher in place; the last one out puts everything back as it was."""
    global _count  # noqa: PLW0603 - LangChain's cache and its classes are global; this counts who needs them
    with _lock:
        if _count == 0:
            _put()
        _count += 1
    try:
        yield
    finally:
        with _lock:
            _count -= 1
            if _count == 0:
                _restore()


def _put() -> None:
    global _dispatcher  # noqa: PLW0603
    _dispatcher = _Dispatcher(get_llm_cache())
    set_llm_cache(_dispatcher)
    _streams.enter_context(rewriting(_note))
    _streams.enter_context(whole_streams(_whole))
    _streams.enter_context(attended(_attendance))


def _restore() -> None:
    global _dispatcher  # noqa: PLW0603
    assert _dispatcher
    if get_llm_cache() is _dispatcher:  # else somebody set another cache meanwhile: theirs stays
        set_llm_cache(_dispatcher.before)
    _dispatcher = None
    _streams.close()


def _note(model: BaseChatModel, given: Any, config: RunnableConfig | None, entry: Entry) -> Any:  # noqa: ARG001
    """Remember whether the call that begins will ask the cache: one that does not asks the door at its start."""
    uncached.set(model.cache is False or isinstance(model.cache, BaseCache))
    return given


def _whole(
    model: BaseChatModel, config: RunnableConfig | None
) -> Callable[[AIMessage], AIMessageChunk] | None:
    """A journalled stream is asked for as a whole, because streams go past LangChain's cache."""
    return _chunk if model.cache is None and journalling(config) is not None else None


def call_chunks(message: AIMessage) -> list[ToolCallChunk]:
    """A message's tool calls as the chunks of a stream, each whole."""
    return [
        ToolCallChunk(name=c["name"], args=json.dumps(c["args"]), id=c["id"], index=i, type="tool_call_chunk")
        for i, c in enumerate(message.tool_calls)
    ]


def _chunk(message: AIMessage) -> AIMessageChunk:
    """A whole message as the only chunk of a stream."""
    return AIMessageChunk(
        content=message.content,
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
        name=message.name,
        id=message.id,
        usage_metadata=message.usage_metadata,
        tool_call_chunks=call_chunks(message),
        chunk_position="last",
    )
