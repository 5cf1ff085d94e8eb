"""The models of an experiment, from what was given on the command line."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from langgraph_truce import local_model
from langgraph_truce.errors import UserMistake
from langgraph_truce.model import resolve_model

EMBEDDED = "embedded"
WAIT = 900.0
"""Seconds that one judgement of the embedded critic may take: all its requests share one thread."""
SLOTS = 6
"""Of the embedded server: one for each role of a debate, the same for agents and critic."""


@dataclass(frozen=True, slots=True)
class Served:
    """How a model is asked."""

    temperature: float
    """Of the agents; the critic has 0."""
    max_tokens: int
    """Longest reply of an agent."""
    critic_tokens: int
    """Longest reply of the critic."""
    base_url: str = ""
    """Of an OpenAI-compatible server such as vLLM's; empty for the provider's own."""


def task_model(name: str, served: Served, seed: int) -> Any:
    """What the agents ask; None for `embedded`: the topology's own, with replies that are short and end in a letter."""
    if name == EMBEDDED:
        return None
    return _made(name, served, served.temperature, served.max_tokens, seed)


def critic_model(name: str, served: Served) -> Any:
    """What judges, diagnoses and writes."""
    if name == EMBEDDED:
        return local_model(max_tokens=served.critic_tokens, slots=SLOTS, timeout=WAIT)
    return _made(name, served, 0.0, served.critic_tokens, 0)


def label(name: str) -> str:
    """A model's name as it may be part of a path."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name.rpartition("/")[2]).strip("-")


def _made(name: str, served: Served, temperature: float, tokens: int, seed: int) -> Any:
    if ".py:" in name:
        return _from_file(name)
    if served.base_url:
        return ChatOpenAI(
            model=name,
            base_url=served.base_url,
            api_key=SecretStr(os.environ.get("OPENAI_API_KEY") or "none"),
            temperature=temperature,
            max_completion_tokens=tokens,
            seed=seed,
            max_retries=0,  # the run tries again by itself, and counts it
            use_responses_api=False,
        )
    return resolve_model(name, temperature=temperature, max_tokens=tokens)


def _from_file(target: str) -> Any:
    """The chat model NAME of FILE.py, or what the function of that name gives."""
    path, _, name = target.rpartition(":")
    file = Path(path).resolve()
    if not file.is_file():
        raise UserMistake(f"{path}: no such file; give FILE.py:NAME with the path from {Path.cwd()}")
    spec = importlib.util.spec_from_file_location(f"model_of_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    found = getattr(module, name, None)
    if found is None:
        raise UserMistake(
            f"{path} has no {name!r}; give FILE.py:NAME of a chat model, or of a function that makes one"
        )
    return found if hasattr(found, "ainvoke") else found()
