"""Where the applications get their chat model from: a scripted one, so that they run anywhere."""

from __future__ import annotations

import importlib

from langchain_core.language_models import BaseChatModel

from langgraph_truce.testing import ScriptedModel


def chat_model(name: str) -> BaseChatModel:
    """A fresh model that knows what its instructions say and nothing else: `cases.NAME.brain`."""
    return ScriptedModel(replies=importlib.import_module(f"tests.applications.cases.{name}").brain)
