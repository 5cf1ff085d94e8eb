"""A chat model from what a user gives: an object, a provider string, or `embedded`."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel

from langgraph_truce.errors import MissingExtra, UserMistake

MODEL_NAME = "SmolLM2-135M-Instruct"
"""The embedded model."""
_WAY_OUT = 'give "embedded", "PROVIDER:MODEL" (such as "openai:gpt-4o"), or a LangChain chat model'


def resolve_model(model: str | BaseChatModel, **settings: Any) -> BaseChatModel:
    """The chat model that `model` names.

    Args:
        model: A LangChain chat model (passed through), `embedded`, or a string of LangChain's `init_chat_model`.
        settings: Parameters of the model (`temperature`, `max_tokens`); only for strings.

    Raises:
        UserMistake: no such model, or its provider's package or key is missing.
        MissingExtra: a provider string without the `agents` extra, `embedded` without its packages.
    """
    if isinstance(model, BaseChatModel):
        if settings:
            raise UserMistake(
                f"the model is an object and takes no settings ({', '.join(settings)}); set them on it"
            )
        return model
    if not isinstance(model, str) or not model.strip():
        raise UserMistake(f"{model!r} is no chat model; {_WAY_OUT}")
    if model == "embedded":
        from langgraph_truce.model.local import local_model

        return local_model(**settings)
    try:
        from langchain.chat_models import init_chat_model
    except ImportError as e:
        raise MissingExtra(f"the model string {model!r}", "'langgraph-truce[agents]'") from e
    try:
        made = init_chat_model(model, **settings)
    except Exception as e:
        why = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise UserMistake(f"cannot make the model {model!r}: {why}; {_WAY_OUT}") from e
    assert isinstance(made, BaseChatModel)
    return made
