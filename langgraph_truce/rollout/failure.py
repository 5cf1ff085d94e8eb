"""Whose failure it was: the user's code is scored, the infrastructure is retried and then excluded (contract 5)."""

from __future__ import annotations

import asyncio

_TRANSPORT = ("httpx", "httpcore", "httpx2", "httpcore2", "aiohttp", "requests", "urllib3")
_RETRIABLE_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


def infrastructure(error: BaseException) -> bool:
    """True where `error`, or what caused it, is a failure of network or provider: a connection lost, a 429, a 5xx."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if _one(current):
            return True
        current = current.__cause__ or current.__context__
    return False


def _one(error: BaseException) -> bool:
    if isinstance(error, ConnectionError | asyncio.IncompleteReadError):
        return True
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status in _RETRIABLE_STATUS
    kind = type(error)
    if kind.__module__.split(".")[0] in _TRANSPORT:
        return any(
            base.__name__ in {"TransportError", "ClientConnectionError", "RequestException"}
            for base in kind.__mro__
        )
    return kind.__name__ in {"APIConnectionError", "APITimeoutError", "RateLimitError"}


def sentence(error: BaseException) -> str:
    """`Type: message`, the message cut at 500 characters."""
    text = str(error)
    return f"{type(error).__name__}: {text[:500]}{'…' if len(text) > 500 else ''}"  # noqa: PLR2004


def first(error: BaseException) -> BaseException:
    """The first exception that is no group: task groups wrap what one task raised."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
