"""The messages of one call with edited prompts put in; everything else of them stays as it was.

What is not edited is not touched: where no text changes, the caller's own input goes out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue

from langgraph_truce.bind.found import Message, Slot
from langgraph_truce.bind.match import Pattern, Values, pattern

Edits = Mapping[str, Pattern | None]
"""Agent -> its edited text; None where the book still has the original."""
Look = Callable[[Message, str], str | None]
"""(which message, its text) -> the text to send, the same where nothing was edited; None where no slot has this text."""


@dataclass(frozen=True, slots=True)
class Found:
    """The slots whose text is the one that was sent: one, or several of the same text."""

    slots: tuple[Slot, ...]
    values: Values

    def text(self, edits: Edits, sent: str) -> str | None:
        """What to send instead of `sent`; None where several slots have it and were edited apart."""
        texts = [sent if (e := edits[s.agent]) is None else e.fill(self.values) for s in self.slots]
        return texts[0] if texts.count(texts[0]) == len(texts) else None


class Slots:
    """Some slots, ready to find the one that a text came from.

    A slot without fields is a look-up by the text's hash; the others are tried, most fixed text first.
    """

    def __init__(self, slots: Iterable[Slot]) -> None:
        by_text: dict[Message, dict[tuple[str, tuple[str, ...]], list[Slot]]] = {"system": {}, "human": {}}
        for slot in slots:
            by_text[slot.message].setdefault((slot.text, slot.fields), []).append(slot)
        self._exact: dict[Message, dict[str, Found]] = {"system": {}, "human": {}}
        self._patterns: dict[Message, list[tuple[Pattern, tuple[Slot, ...]]]] = defaultdict(list)
        for message, texts in by_text.items():
            for (text, fields), same in texts.items():
                if fields:
                    self._patterns[message].append((pattern(same[0]), tuple(same)))
                else:
                    self._exact[message][text] = Found(tuple(same), {})
            self._patterns[message].sort(key=lambda row: -row[0].fixed)
        self.human = bool(by_text["human"])
        """True where a human message carries instructions."""

    def find(self, message: Message, sent: str) -> Found | None:
        """The slots that `sent` is the text of."""
        if (found := self._exact[message].get(sent)) is not None:
            return found
        for text, slots in self._patterns[message]:
            if (values := text.match(sent)) is not None:
                return Found(slots, values)
        return None

    def text(self, edits: Edits, message: Message, sent: str) -> str | None:
        """What to send instead of `sent`; None where no slot has it, or several do that were edited apart."""
        found = self.find(message, sent)
        return None if found is None else found.text(edits, sent)


def rewritten(model: BaseChatModel, given: Any, look: Look, *, human: bool) -> tuple[bool, Any]:
    """(whether a text was found, the input to send).

    Every system message is looked at, and with `human` the first human one; where it is no prompt, the last
    message, if it is a human one. The input that comes back is `given` itself
    where no text changes; else of the same kind where it can be (text, prompt value, list of messages).
    """
    if isinstance(given, str) and not human:
        return False, given
    messages = messages_of(model, given)
    found, humans = False, 0
    new: list[BaseMessage] | None = None
    for n, message in enumerate(messages):
        if isinstance(message, SystemMessage):
            content = _content(message.content, "system", look)
        elif human and isinstance(message, HumanMessage) and (not humans or n == len(messages) - 1):
            humans += 1
            content = _content(message.content, "human", look)
            human = content is None
        else:
            continue
        if content is None:
            continue
        found = True
        if content is not message.content and content != message.content:
            new = new or list(messages)
            new[n] = message.model_copy(update={"content": content})
    return found, given if new is None else _as_given(given, new)


def messages_of(model: BaseChatModel, given: Any) -> Sequence[BaseMessage]:
    """The messages that `given` stands for; not to be changed."""
    if isinstance(given, ChatPromptValue):
        return given.messages
    if type(given) is list and all(isinstance(m, BaseMessage) for m in given):
        return given
    return model._convert_input(given).to_messages()


def _as_given(given: Any, messages: list[BaseMessage]) -> Any:
    if isinstance(given, str):
        return messages[0].text
    if isinstance(given, StringPromptValue):
        return given.model_copy(update={"text": messages[0].text})
    if isinstance(given, ChatPromptValue):
        return given.model_copy(update={"messages": messages})
    return messages


Content = str | list[str | dict[str, Any]]


def _content(content: Content, message: Message, look: Look) -> Content | None:
    """The content to send; None where no slot was found in it."""
    if isinstance(content, str):
        return look(message, content)
    texts = [_text_of(block) for block in content]
    new = [None if text is None else look(message, text) for text in texts]
    if all(text is None for text in new):
        written = [text for text in texts if text is not None]
        if len(written) < 2 or (whole := look(message, "".join(written))) is None:  # noqa: PLR2004
            return None
        shares = iter(_shared_out(written, whole))
        new = [None if text is None else next(shares) for text in texts]
    return [
        block if text is None else _with_text(block, text) for block, text in zip(content, new, strict=True)
    ]


def _text_of(block: str | dict[str, Any]) -> str | None:
    """The text of a block; None where it has none (an image, a document)."""
    if isinstance(block, str):
        return block
    text = block.get("text") if block.get("type") == "text" else None
    return text if isinstance(text, str) else None


def _with_text(block: str | dict[str, Any], text: str) -> str | dict[str, Any]:
    return text if isinstance(block, str) else {**block, "text": text}


def _shared_out(blocks: Sequence[str], new: str) -> list[str]:
    """`new` cut like `blocks`, where they agree from both ends; what changed goes to the block in which it begins.

    "".join(result) == new and len(result) == len(blocks).
    """
    old = "".join(blocks)
    head = _common(old, new, ahead=True)
    tail = min(_common(old, new, ahead=False), min(len(old), len(new)) - head)
    cuts = [0]
    for block in blocks[:-1]:
        cuts.append(cuts[-1] + len(block))
    moved = [
        at if at <= head and at < len(old) - tail else max(at + len(new) - len(old), len(new) - tail)
        for at in cuts
    ]
    moved[0] = 0
    return [new[a:b] for a, b in zip(moved, [*moved[1:], len(new)], strict=True)]


def _common(a: str, b: str, *, ahead: bool) -> int:
    """Length of the common start (or end) of two texts; by halving, so that the comparing is done in C."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        half = (low + high + 1) // 2
        same = a[:half] == b[:half] if ahead else a[-half:] == b[-half:]
        low, high = (half, high) if same else (low, half - 1)
    return low
