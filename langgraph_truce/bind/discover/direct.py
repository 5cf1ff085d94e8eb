"""Calls of `model.generate` and `model.agenerate` in a node's own code: they pass none of the intercepted entry points."""

from __future__ import annotations

import functools
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from langchain_core.language_models import chat_models
from langchain_core.language_models.chat_models import BaseChatModel
from langgraph.config import get_config

from langgraph_truce.bind.context import LISTEN
from langgraph_truce.bind.intercept import role_path

_lock = threading.Lock()
_counters: dict[str, Counter[str]] = {}
_originals: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {}
"""Name -> LangChain's method and our wrapper of it."""


@contextmanager
def counting_direct(key: str) -> Iterator[Counter[str]]:
    """While inside: role path -> direct calls of the runs whose `configurable` has `key`. Nothing else changes."""
    counter: Counter[str] = Counter()
    with _lock:
        if not _counters:
            for name in ("generate", "agenerate"):
                original = vars(BaseChatModel)[name]
                _originals[name] = (original, _wrapped(original))
                setattr(BaseChatModel, name, _originals[name][1])
        _counters[key] = counter
    try:
        yield counter
    finally:
        with _lock:
            del _counters[key]
            if not _counters:
                for name, (original, ours) in _originals.items():
                    if (
                        vars(BaseChatModel)[name] is ours
                    ):  # else somebody wraps ours, which passes every call on
                        setattr(BaseChatModel, name, original)
                _originals.clear()


def _wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def generate(self: BaseChatModel, *args: Any, **kwargs: Any) -> Any:
        if _counters and not _from_an_entry_point(sys._getframe(1)):
            _count()
        return original(self, *args, **kwargs)  # of `agenerate`, the coroutine

    return generate


def _from_an_entry_point(frame: FrameType | None) -> bool:
    """Whether LangChain's own `invoke` or `ainvoke` made this call."""
    while frame is not None and frame.f_code.co_filename == chat_models.__file__:
        if frame.f_code.co_name in {"invoke", "ainvoke"}:
            return True
        frame = frame.f_back
    return False


def _count() -> None:
    try:
        config = get_config()
    except RuntimeError:  # outside of any run: nobody's call
        return
    counter = _counters.get(str((config.get("configurable") or {}).get(LISTEN)))
    if counter is not None:
        counter[role_path(str((config.get("metadata") or {}).get("langgraph_checkpoint_ns") or ""))] += 1
