"""`BaseChatModel.invoke`, `ainvoke`, `stream` and `astream`, wrapped for as long as somebody here needs to see their calls.

One wrapper serves everybody, so the parts that use it may come and go in any order. With the last one the methods are
put back as they were. A wrapper of somebody else that is still over ours keeps ours in place: then it passes every call
on, and removes itself at the first call after theirs is gone. Somebody who wrapped before us and leaves first takes
ours off; it is put on again when the next one enters.

`model.generate()`, `model.stream_events(version="v3")` and a subclass's own `invoke` that does not call its parent's
do not come by here.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing, contextmanager
from typing import Any, Literal, Protocol, TypeVar, get_args
from weakref import WeakKeyDictionary

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import RunnableConfig

Entry = Literal["invoke", "ainvoke", "stream", "astream"]
Rewrite = Callable[[BaseChatModel, Any, RunnableConfig | None, Entry], Any]
"""(model, input, config, entry point) -> the input to send; called once for every call from outside."""
Whole = Callable[[BaseChatModel, RunnableConfig | None], Callable[[AIMessage], AIMessageChunk] | None]
"""(model, config) -> None, or how to make the one chunk of a stream that is to be asked for with `invoke`."""
T = TypeVar("T")
U = TypeVar("U")


class Attendant(Protocol):
    """Makes calls for those who make them: again where they failed, or not for ever."""

    def call(self, config: RunnableConfig | None, make: Callable[[], T]) -> T:
        """Make a sync call."""

    async def acall(self, config: RunnableConfig | None, make: Callable[[], Awaitable[T]]) -> T:
        """Make an async call."""


class _Seen(dict[str, Any]):
    """The config of a stream: `self.invoke` that it may turn into is the same call, not another one."""


class _Wrapping:
    """One generation of wrappers; dead for ever once its methods were to be put back."""

    live = True


_lock = threading.RLock()
_wrapping: _Wrapping | None = None
_plain: Mapping[str, Any] = {name: vars(BaseChatModel)[name] for name in get_args(Entry)}
"""LangChain's own methods (or what stood there when this was imported)."""
_ours: WeakKeyDictionary[Any, tuple[_Wrapping, Any]] = WeakKeyDictionary()
"""Our wrapper -> its generation and the method it stands for."""
_rewriters: list[Rewrite] = []
"""Who is there, in order of entering; one may be there several times."""
_streamers: list[Whole] = []
_attendants: list[Attendant] = []
_rewrites: tuple[Rewrite, ...] = ()
"""The rewriters, each once: a call is rewritten once, however often its rewriter entered."""
_wholes: tuple[Whole, ...] = ()
_attendant: Attendant | None = None
"""The first of them: one at a time looks after the calls."""


def rewriting(rewrite: Rewrite) -> AbstractContextManager[None]:
    """While in this context, `rewrite` gives the input of every call; those entered first are asked first."""
    return _user(_rewriters, rewrite)


def whole_streams(whole: Whole) -> AbstractContextManager[None]:
    """While in this context, streams for which `whole` gives a function are made through `invoke`."""
    return _user(_streamers, whole)


def attended(attendant: Attendant) -> AbstractContextManager[None]:
    """While in this context, `attendant` makes every call that is not a stream; the one that entered first."""
    return _user(_attendants, attendant)


@contextmanager
def _user(users: list[U], user: U) -> Iterator[None]:
    with _lock:
        users.append(user)
        _changed()
        _wrap()
    try:
        yield
    finally:
        with _lock:
            users.remove(user)
            _changed()
            if not (_rewriters or _streamers or _attendants):
                _put_back()


def _changed() -> None:
    global _rewrites, _wholes, _attendant
    _rewrites, _wholes = tuple(dict.fromkeys(_rewriters)), tuple(dict.fromkeys(_streamers))
    (_attendant,) = _attendants[:1] or (None,)


def _wrap() -> None:
    global _wrapping  # noqa: PLW0603 - the methods are global; this counts who needs them
    first = _wrapping is None
    _wrapping = _wrapping or _Wrapping()
    for name, wrapper in _WRAPPERS.items():
        _heal(name)
        there = vars(BaseChatModel)[name]
        if first or there is _plain[name]:
            wrapped = wrapper(there, _wrapping)
            _ours[wrapped] = (_wrapping, there)
            setattr(BaseChatModel, name, wrapped)


def _put_back() -> None:
    global _wrapping  # noqa: PLW0603 - the methods are global; this counts who needs them
    assert _wrapping is not None
    _wrapping.live = False
    _wrapping = None
    for name in _WRAPPERS:
        _heal(name)


def _heal(name: str) -> None:
    """Put the method back where a dead wrapper of ours stands for it; one under somebody else's stays there."""
    with _lock:
        there = method = vars(BaseChatModel)[name]
        while (mine := _ours.get(method)) is not None and not mine[0].live:
            method = mine[1]
        if method is not there:
            setattr(BaseChatModel, name, method)


def _passes(wrapping: _Wrapping, name: str, config: RunnableConfig | None) -> bool:
    """True where a wrapper has nothing to do with a call."""
    if not wrapping.live:
        _heal(name)
        return True
    return type(config) is _Seen


def _sent(model: BaseChatModel, given: Any, config: RunnableConfig | None, entry: Entry) -> Any:
    for rewrite in _rewrites:
        given = rewrite(model, given, config, entry)
    return given


def _chunk_of(
    model: BaseChatModel, config: RunnableConfig | None
) -> Callable[[AIMessage], AIMessageChunk] | None:
    for whole in _wholes:
        if (chunk := whole(model, config)) is not None:
            return chunk
    return None


def _made(config: RunnableConfig | None, make: Callable[[], T]) -> T:
    return make() if _attendant is None else _attendant.call(config, make)


async def _amade(config: RunnableConfig | None, make: Callable[[], Awaitable[T]]) -> T:
    return await (make() if _attendant is None else _attendant.acall(config, make))


# The arguments are called as LangChain calls them: callers may name them.


def _invoke(original: Any, wrapping: _Wrapping) -> Any:
    @functools.wraps(original)
    def invoke(
        self: BaseChatModel,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        if not _passes(wrapping, "invoke", config):
            input = _sent(self, input, config, "invoke")  # noqa: A001
            return _made(config, lambda: original(self, input, config, **kwargs))
        return original(self, input, config, **kwargs)

    return invoke


def _ainvoke(original: Any, wrapping: _Wrapping) -> Any:
    @functools.wraps(original)
    async def ainvoke(
        self: BaseChatModel,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        if not _passes(wrapping, "ainvoke", config):
            input = _sent(self, input, config, "ainvoke")  # noqa: A001
            return await _amade(config, lambda: original(self, input, config, **kwargs))
        return await original(self, input, config, **kwargs)

    return ainvoke


def _stream(original: Any, wrapping: _Wrapping) -> Any:
    @functools.wraps(original)
    def stream(
        self: BaseChatModel,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        if not _passes(wrapping, "stream", config):
            chunk = _chunk_of(self, config)
            input = _sent(self, input, config, "stream")  # noqa: A001
            config = _Seen(config or {})  # type: ignore[assignment]
            if chunk is not None:
                yield chunk(_made(config, lambda: self.invoke(input, config, **kwargs)))
                return
        yield from original(self, input, config, **kwargs)

    return stream


def _astream(original: Any, wrapping: _Wrapping) -> Any:
    @functools.wraps(original)
    async def astream(
        self: BaseChatModel,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        if not _passes(wrapping, "astream", config):
            chunk = _chunk_of(self, config)
            input = _sent(self, input, config, "astream")  # noqa: A001
            config = _Seen(config or {})  # type: ignore[assignment]
            if chunk is not None:
                yield chunk(await _amade(config, lambda: self.ainvoke(input, config, **kwargs)))
                return
        async with aclosing(original(self, input, config, **kwargs)) as chunks:
            async for part in chunks:
                yield part

    return astream


_WRAPPERS: dict[str, Callable[[Any, _Wrapping], Any]] = {
    "invoke": _invoke,
    "ainvoke": _ainvoke,
    "stream": _stream,
    "astream": _astream,
}
