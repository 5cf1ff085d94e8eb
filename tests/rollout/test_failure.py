"""Whose failure: the infrastructure's is retried and excluded, the user's is scored."""

from __future__ import annotations

import httpx
import httpx2
import openai
import pytest

from langgraph_truce.rollout.failure import first, infrastructure, sentence

REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1")


def status(kind: type[openai.APIStatusError], code: int) -> openai.APIStatusError:
    return kind("no", response=httpx2.Response(code, request=REQUEST), body=None)


def caused(error: Exception) -> Exception:
    outer = RuntimeError("node failed")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("gone"),
        openai.APIConnectionError(request=REQUEST),
        openai.APITimeoutError(REQUEST),
        status(openai.RateLimitError, 429),
        status(openai.InternalServerError, 503),
        httpx.ConnectError("refused"),
        caused(ConnectionRefusedError("refused")),
    ],
    ids=lambda e: type(e).__name__,
)
def test_network_and_provider_failures_are_the_infrastructures(error: Exception) -> None:
    assert infrastructure(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad answer"),
        TimeoutError("the task took too long"),
        status(openai.BadRequestError, 400),
        status(openai.AuthenticationError, 401),
        KeyError("x"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_everything_else_is_the_users_code(error: Exception) -> None:
    assert not infrastructure(error)


def test_a_chain_of_causes_that_goes_in_a_circle_ends() -> None:
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one

    assert not infrastructure(one)


def test_the_first_real_error_of_nested_groups() -> None:
    inner = ValueError("x")

    assert first(ExceptionGroup("a", [ExceptionGroup("b", [inner]), KeyError("y")])) is inner


def test_long_messages_are_cut() -> None:
    assert len(sentence(ValueError("x" * 9000))) < 600
