"""What an error says about its endpoint, for the clients that people use; those not installed are imitated by name."""

from __future__ import annotations

import email.utils
import time
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import httpx
import httpx2
import openai
import pytest
import requests

from langgraph_truce.model.failure import (
    CallTimeout,
    Failure,
    chain,
    failure,
    infrastructure,
    of_provider,
    retry_after,
    sentence,
    turned_down,
)

REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1")


def status(code: int, headers: dict[str, str] | None = None, body: Any = None) -> openai.APIStatusError:
    kinds: dict[int, type[openai.APIStatusError]] = {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        429: openai.RateLimitError,
    }
    kind = kinds.get(code, openai.InternalServerError if code >= 500 else openai.APIStatusError)
    return kind("no", response=httpx2.Response(code, request=REQUEST, headers=headers), body=body)


def caused(error: Exception) -> Exception:
    outer = RuntimeError("node failed")
    outer.__cause__ = error
    return outer


def like(module: str, name: str, base: str = "", **attributes: Any) -> Exception:
    """An error of a client that is not installed."""
    parents: tuple[type, ...] = (Exception,)
    if base:
        parents = (type(base, (Exception,), {"__module__": module}),)
    kind = type(name, parents, {"__module__": module, **attributes})
    error: Exception = kind("no")
    return error


def aws(code: str, http: int) -> Exception:
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": http}}
    return like("botocore.errorfactory", "ClientError", response=response)


def grpc(name: str) -> Exception:
    return like("grpc.aio._call", "AioRpcError", code=lambda self: SimpleNamespace(name=name))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionResetError("gone"), "unanswered"),
        (CallTimeout("late"), "unanswered"),
        (openai.APIConnectionError(request=REQUEST), "unanswered"),
        (openai.APITimeoutError(REQUEST), "unanswered"),
        (httpx.ConnectError("refused"), "unanswered"),
        (httpx2.ReadTimeout("slow"), "unanswered"),
        (requests.exceptions.ReadTimeout("slow"), "unanswered"),
        (requests.exceptions.ConnectionError("refused"), "unanswered"),
        (caused(ConnectionRefusedError("refused")), "unanswered"),
        (ExceptionGroup("nodes", [ValueError("x"), ConnectionResetError("gone")]), "unanswered"),
        (like("anthropic", "APIConnectionError"), "unanswered"),
        (like("aiohttp.client_exceptions", "ServerDisconnectedError", "ClientConnectionError"), "unanswered"),
        (like("botocore.exceptions", "ReadTimeoutError", "HTTPClientError"), "unanswered"),
        (grpc("UNAVAILABLE"), "unanswered"),
        (status(429), "limited"),
        (like("anthropic", "OverloadedError", status_code=529), "limited"),
        (like("google.genai.errors", "ClientError", code=429), "limited"),
        (
            like("google.api_core.exceptions", "ResourceExhausted", code=HTTPStatus.TOO_MANY_REQUESTS),
            "limited",
        ),
        (aws("ThrottlingException", 400), "limited"),
        (grpc("RESOURCE_EXHAUSTED"), "limited"),
        (status(500), "broken"),
        (status(503), "broken"),
        (like("aiohttp.client_exceptions", "ClientResponseError", status=502), "broken"),
        (aws("InternalServerException", 500), "broken"),
        (status(401), "account"),
        (like("openai", "RateLimitError", status_code=429, code="insufficient_quota"), "account"),
    ],
)
def test_network_and_provider_failures_are_the_infrastructures(error: Exception, expected: Failure) -> None:
    assert failure(error) == expected
    assert infrastructure(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad answer"),
        TimeoutError("the task took too long"),
        status(400),
        status(413),
        status(422),
        status(404),
        status(501),
        like("google.genai.errors", "ClientError", code=400),
        aws("ValidationException", 400),
        grpc("INVALID_ARGUMENT"),
        httpx.UnsupportedProtocol("no scheme"),
        KeyError("x"),
    ],
)
def test_everything_else_is_the_users_code(error: Exception) -> None:
    assert not infrastructure(error)


def test_a_bare_time_out_is_the_endpoints_where_a_model_call_ended_with_it() -> None:
    assert failure(TimeoutError("no reply"), of_call=True) == "unanswered"


def test_a_context_that_was_cut_off_is_no_cause() -> None:
    def own() -> None:
        try:
            raise ConnectionResetError("gone")
        except ConnectionError:
            raise ValueError("my own") from None

    with pytest.raises(ValueError, match="my own") as caught:
        own()
    assert list(chain(caught.value)) == [caught.value]
    assert not infrastructure(caught.value)


def test_the_outermost_word_of_an_exception_about_itself_counts() -> None:
    inner = like("search", "IndexDown", infrastructure=True)
    assert infrastructure(caused(inner))
    assert of_provider(inner)

    outer = caused(inner)
    outer.infrastructure = False  # type: ignore[attr-defined]
    assert not infrastructure(outer)


def test_providers_clients_are_known_and_others_are_not() -> None:
    assert of_provider(caused(status(429)))
    assert not of_provider(httpx.ConnectError("refused"))
    assert not of_provider(status(400))


def test_a_request_that_is_turned_down() -> None:
    assert turned_down(caused(status(413)))
    assert not turned_down(status(500))


def test_a_chain_of_causes_that_goes_in_a_circle_ends() -> None:
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one

    assert not infrastructure(one)


def test_retry_after_in_seconds_milliseconds_and_as_a_date() -> None:
    date = email.utils.formatdate(time.time() + 60, usegmt=True)

    assert retry_after(caused(status(429, {"Retry-After": "7"}))) == 7.0
    assert retry_after(status(429, {"retry-after-ms": "250", "retry-after": "9"})) == 0.25
    assert 55 < (retry_after(status(429, {"Retry-After": date})) or 0) <= 61
    response = {"ResponseMetadata": {"HTTPHeaders": {"Retry-After": "3"}}}
    assert retry_after(like("botocore", "ClientError", response=response)) == 3.0


@pytest.mark.parametrize("header", ["soon", "nan", "inf"])
def test_a_retry_after_that_says_nothing(header: str) -> None:
    assert retry_after(status(429, {"Retry-After": header})) is None
    assert retry_after(status(429, {"Retry-After": "-5"})) == 0.0
    assert retry_after(ValueError("x")) is None


def test_long_messages_are_cut() -> None:
    assert len(sentence(ValueError("x" * 9000))) < 600
