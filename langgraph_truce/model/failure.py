"""What an error says about the endpoint that was asked: read from class names and attributes, no client is imported.

Known: openai, anthropic and what is built like them, google (genai, api_core, gRPC), boto, httpx, aiohttp, requests,
urllib; any other client whose errors carry an HTTP status. An exception may also say itself what it is: with an
attribute `infrastructure`, True or False, on its class or set before it is raised again.
"""

from __future__ import annotations

import asyncio
import email.utils
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

Failure = Literal["", "limited", "unanswered", "broken", "account"]
"""What failed. `limited`: the endpoint asks for fewer calls (429). `unanswered`: no answer came (connection lost, a call
timed out). `broken`: it answered that it cannot (5xx). `account`: it refuses the key, or the account is empty; trying
again does not help. "": nothing of it; the request or the user's code was at fault."""

_LIMITED = frozenset({409, 425, 429, 529})
_ACCOUNT = frozenset({401, 402})
_TURNED_DOWN = frozenset({400, 413, 422})
_NEVER = frozenset({501, 505})  # a request that no repetition makes possible
_GRPC: Mapping[str, Failure] = {
    "RESOURCE_EXHAUSTED": "limited",
    "ABORTED": "limited",
    "UNAVAILABLE": "unanswered",
    "DEADLINE_EXCEEDED": "unanswered",
    "INTERNAL": "broken",
    "UNAUTHENTICATED": "account",
}
_NAMED: Mapping[str, Failure] = {
    "APIConnectionError": "unanswered",
    "APITimeoutError": "unanswered",
    "RateLimitError": "limited",
    "ThrottlingException": "limited",
    "Throttling": "limited",
    "TooManyRequestsException": "limited",
    "ModelNotReadyException": "limited",
    "ModelTimeoutException": "broken",
}
"""Classes, and error codes of AWS, that say it by name."""
_LOST: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(
        ("httpx", "httpx2", "httpcore", "httpcore2"),
        frozenset({"TransportError", "NetworkError", "TimeoutException", "ProtocolError"}),
    ),
    "aiohttp": frozenset({"ClientConnectionError", "ClientPayloadError", "ServerTimeoutError"}),
    "requests": frozenset({"ConnectionError", "Timeout", "ChunkedEncodingError"}),
    "urllib3": frozenset({"HTTPError"}),
    "botocore": frozenset({"HTTPClientError", "ConnectionError", "EndpointConnectionError"}),
    "urllib": frozenset({"URLError"}),
    "http": frozenset({"RemoteDisconnected", "IncompleteRead"}),
}
"""Package -> base classes of its errors that mean: no answer came."""
_MISWRITTEN = frozenset(
    {"UnsupportedProtocol", "LocalProtocolError", "LocationParseError", "LocationValueError"}
)
_PROVIDERS = frozenset(
    {"openai", "anthropic", "groq", "mistralai", "cohere", "together", "ollama", "litellm", "huggingface_hub"}
)
"""Packages that do nothing but call models."""
_WORDS = 500


class CallTimeout(TimeoutError):
    """A model call took longer than `Run.call_timeout`; its reply, should it still come, is not used."""


def failure(error: BaseException, *, of_call: bool = False) -> Failure:
    """What `error`, or what caused it, says about an endpoint.

    The outermost exception with an attribute `infrastructure` decides; else the first that says anything.

    Args:
        error: what was raised; causes, contexts and members of groups are looked at too.
        of_call: a model call ended with it. Then a bare `TimeoutError` is the endpoint's as well.
    """
    found: Failure = ""
    for one in chain(error):
        said = getattr(one, "infrastructure", None)
        if isinstance(said, bool):
            return (found or "broken") if said else ""
        found = found or _one(one) or ("unanswered" if of_call and isinstance(one, TimeoutError) else "")
    return found


def infrastructure(error: BaseException) -> bool:
    """True where network or provider failed: a connection lost, a 429, a 5xx, a key refused."""
    return bool(failure(error))


def of_provider(error: BaseException) -> bool:
    """True where the client of a model provider raised it, or the error says `infrastructure` itself."""
    return infrastructure(error) and any(
        _package(one) in _PROVIDERS
        or type(one).__module__.startswith("google.genai")
        or getattr(one, "infrastructure", False) is True
        for one in chain(error)
    )


def turned_down(error: BaseException) -> bool:
    """True where the endpoint does not take this one request: malformed or too long (400, 413, 422)."""
    return any(_status(one) in _TURNED_DOWN for one in chain(error))


def chain(error: BaseException) -> Iterator[BaseException]:
    """`error`, then what caused it, outermost first, each once."""
    seen: set[int] = set()
    ahead: list[BaseException | None] = [error]
    while ahead:
        one = ahead.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            ahead += one.exceptions
        ahead.append(one.__cause__ or (None if one.__suppress_context__ else one.__context__))


def retry_after(error: BaseException) -> float | None:
    """Seconds that the endpoint asks to wait, >= 0, from `Retry-After` as seconds or as a date; None where it does not say."""
    for one in chain(error):
        headers = _headers(one)
        for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
            seconds = _seconds(headers.get(name), unit)
            if seconds is not None:
                return seconds
    return None


def sentence(error: BaseException) -> str:
    """`Type: message`, the message cut at 500 characters."""
    text = str(error)
    return f"{type(error).__name__}: {text[:_WORDS]}{'…' if len(text) > _WORDS else ''}"


def _one(error: BaseException) -> Failure:
    if isinstance(error, CallTimeout | ConnectionError | asyncio.IncompleteReadError):
        return "unanswered"
    named = _NAMED.get(str(_aws(error, "Error", "Code"))) if _package(error) == "botocore" else None
    if named:
        return named
    status = _status(error)
    if status is not None:
        return _of_status(status, error)
    bases = [base.__name__ for base in type(error).__mro__]
    if bases[0] in _MISWRITTEN:
        return ""
    lost = _LOST.get(_package(error), frozenset())
    if any(name in lost for name in bases):
        return "unanswered"
    return next((_NAMED[name] for name in bases if name in _NAMED), _of_grpc(error))


def _of_status(status: int, error: BaseException) -> Failure:
    if status in _ACCOUNT or getattr(error, "code", None) == "insufficient_quota":
        return "account"
    if status in _LIMITED:
        return "limited"
    if status == 408 or (status >= 500 and status not in _NEVER):  # noqa: PLR2004 - HTTP: request timeout, server errors
        return "broken"
    return ""


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    named = [getattr(error, name, None) for name in ("status_code", "status", "code", "http_status")]
    named += [getattr(response, name, None) for name in ("status_code", "status")]
    named.append(_aws(error, "ResponseMetadata", "HTTPStatusCode"))
    return next((int(v) for v in named if isinstance(v, int) and 100 <= v < 600), None)  # noqa: PLR2004 - HTTP


def _of_grpc(error: BaseException) -> Failure:
    code = getattr(error, "code", None)
    name = getattr(code(), "name", "") if callable(code) and _package(error) in {"grpc", "google"} else ""
    return _GRPC.get(str(name), "")


def _aws(error: BaseException, part: str, name: str) -> Any:
    response = getattr(error, "response", None)
    inner = response.get(part) if isinstance(response, Mapping) else None
    return inner.get(name) if isinstance(inner, Mapping) else None


def _package(error: BaseException) -> str:
    return type(error).__module__.split(".", 1)[0]


def _headers(error: BaseException) -> Mapping[str, Any]:
    response = getattr(error, "response", None)
    for headers in (getattr(response, "headers", None), getattr(error, "headers", None)):
        if headers is not None and hasattr(headers, "items"):
            return {str(k).lower(): v for k, v in headers.items()}
    aws = _aws(error, "ResponseMetadata", "HTTPHeaders")
    return {str(k).lower(): v for k, v in aws.items()} if isinstance(aws, Mapping) else {}


def _seconds(value: Any, unit: float) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(value) / unit
    except (TypeError, ValueError):
        try:
            seconds = email.utils.parsedate_to_datetime(str(value)).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
