"""Interception: hard-coded prompts of a foreign graph are replaced on their way to the model.

A run says in `configurable` whose prompts it sends (`truce_prompts`) and which published rule book it uses
(`truce_version`); its calls are found by role path and text. With no edits the very input of the caller goes out.
Calls from raw threads carry no run context: they are found by text alone, while one book runs (`candidate`).

Seen are the four public entry points of chat models, so that callbacks and traces show what was sent; see
`entry_points` for what does not come by there.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, var_child_runnable_config

from langgraph_truce.bind.context import LISTEN, PROMPTS, ROLLOUT, TABLE, VERSION
from langgraph_truce.bind.found import Message, Prompts, Slot
from langgraph_truce.bind.match import edited, pattern
from langgraph_truce.bind.reads import note
from langgraph_truce.bind.rewrite import Edits, Slots, messages_of, rewritten
from langgraph_truce.bind.turns import TURNS, candidate
from langgraph_truce.entry_points import Entry, rewriting
from langgraph_truce.errors import BindError

__all__ = ["Heard", "Interception", "candidate", "intercepting", "listening", "role_path"]

_NAMESPACE = "langgraph_checkpoint_ns"
_VERSIONS = 64
"""Books whose edits are kept ready; more than run at a time."""


class Interception:
    """The prompts that are replaced, and what was seen of them; made by `intercepting`, safe in threads."""

    def __init__(self, prompts: Prompts, number: int) -> None:
        self.prompts = prompts
        self.id = f"{prompts.id}#{number}"
        """A run that names this under `truce_prompts` is counted here alone; `prompts.id` is counted by every
        interception of these prompts that is open."""
        self._lock = threading.Lock()
        self._matched = 0
        self._missed: Counter[str] = Counter()

    @property
    def matched(self) -> int:
        """Calls in which a slot was found, edited or not."""
        return self._matched

    @property
    def missed(self) -> Mapping[str, int]:
        """Role path -> calls that went out unchanged because no slot has their text.

        "" counts calls from raw threads that have a slot's text, but could not be told whose they are.
        """
        with self._lock:
            return dict(self._missed)

    def count(self, role: str, *, matched: bool) -> None:
        """Note one call."""
        with self._lock:
            if matched:
                self._matched += 1
            else:
                self._missed[role] += 1


class _Active:
    """Prompts with at least one open interception, with everything made ready for their calls."""

    def __init__(self, prompts: Prompts) -> None:
        self.prompts = prompts
        by_role: defaultdict[str, list[Slot]] = defaultdict(list)
        for slot in prompts.slots:
            by_role[slot.role].append(slot)
        self.roles = {role: Slots(slots) for role, slots in by_role.items()}
        self.every = Slots(s for s in prompts.slots if any(p.strip() for p in pattern(s).pieces))
        """For calls without role: a slot that is all fields would take everybody's."""
        self.open: tuple[Interception, ...] = ()
        self._edits: dict[str, Edits] = {}

    def edits(self, version: str) -> Edits:
        """What the published book changes.

        Raises:
            BindError: it is not published here.
            UnknownNameError: it lacks an agent of the prompts.
        """
        book = TABLE.get(version)
        if book is None:
            raise BindError(
                f"a run names rule book {version!r}, which is not published in this process while prompts "
                f"{self.prompts.id!r} are replaced; start it inside `published(book)`"
            )
        edits = self._edits.get(version)
        if edits is None:
            if len(self._edits) >= _VERSIONS:
                self._edits = {}
            edits = {slot.agent: edited(slot, book.render(slot.agent)) for slot in self.prompts.slots}
            self._edits[version] = edits
        return edits


@dataclass(frozen=True, slots=True)
class Heard:
    """One model call, as a listener is told of it."""

    role: str
    """Role path of the node (`team/solver`); "" without run context."""
    messages: Sequence[BaseMessage]
    """What is sent, before any edit; not to be changed."""
    config: RunnableConfig | None
    """The whole config of the call; None without run context (a raw thread)."""
    model: BaseChatModel
    entry: Entry


Listener = Callable[[Heard], None]

_lock = threading.Lock()
_numbers = itertools.count(1)
_active: Mapping[str, _Active] = {}
"""By prompts id; replaced, never changed, so that calls read it without the lock."""
_named: Mapping[str, tuple[_Active, tuple[Interception, ...]]] = {}
"""What `truce_prompts` may say -> the prompts, and who counts the call."""
_listeners: tuple[tuple[str, Listener], ...] = ()


@contextmanager
def intercepting(prompts: Prompts) -> Iterator[Interception]:
    """While in this context, runs that name these prompts send the texts of the rule book that they name.

    May be nested and entered from several threads, with the same or other prompts; the last one out leaves no trace.
    A call raises BindError where its run names prompts that nobody intercepts here, or a book that is not published.
    """
    mine = Interception(prompts, next(_numbers))
    _enter(mine)
    try:
        with rewriting(_rewrite):
            yield mine
    finally:
        _leave(mine)


@contextmanager
def listening(listener: Listener, key: str = "") -> Iterator[None]:
    """While in this context, `listener` is told of every model call before it is made; nothing is changed.

    It hears the calls of runs whose `configurable["truce_listen"]` is `key` (with "" those of every run), and all
    calls without run context. It is called on the thread of the call, possibly on several at once; what it raises is
    raised by the call.
    """
    global _listeners  # noqa: PLW0603 - the entry points are global; this says who listens there
    entry = (key, listener)
    with _lock:
        _listeners = (*_listeners, entry)
    try:
        with rewriting(_rewrite):
            yield
    finally:
        with _lock:
            left = list(_listeners)
            left.remove(entry)
            _listeners = tuple(left)


def _enter(mine: Interception) -> None:
    with _lock:
        active = _active.get(mine.prompts.id) or _Active(mine.prompts)
        active.open = (*active.open, mine)
        _set({**_active, mine.prompts.id: active})


def _leave(mine: Interception) -> None:
    with _lock:
        active = _active[mine.prompts.id]
        active.open = tuple(i for i in active.open if i is not mine)
        _set({name: a for name, a in _active.items() if a.open})


def _set(actives: Mapping[str, _Active]) -> None:
    global _active, _named  # noqa: PLW0603
    _active = actives
    names = {name: (a, a.open) for name, a in actives.items()}
    _named = {**names, **{i.id: (a, (i,)) for a in actives.values() for i in a.open}}


def _rewrite(model: BaseChatModel, given: Any, config: RunnableConfig | None, entry: Entry) -> Any:
    """What the entry points call."""
    if _listeners:
        _tell(model, given, config, entry)
    if not _named:
        return given
    if (name := _told(config, "configurable", PROMPTS)) is not None:
        return _of_run(model, given, str(name), config)
    return _of_raw_thread(model, given) if _raw(config) else given


def _tell(model: BaseChatModel, given: Any, config: RunnableConfig | None, entry: Entry) -> None:
    raw = _raw(config)
    said = _told(config, "configurable", LISTEN)
    heard = None
    for key, listener in _listeners:
        if raw or key in ("", said):
            role = "" if raw else _role(config)
            heard = heard or Heard(
                role, messages_of(model, given), None if raw else ensure_config(config), model, entry
            )
            listener(heard)


def _raw(config: RunnableConfig | None) -> bool:
    """True for a call that no run is known of: neither LangGraph's nor ours."""
    own = (PROMPTS, VERSION, LISTEN)
    return _told(config, "metadata", _NAMESPACE) is None and all(
        _told(config, "configurable", key) is None for key in own
    )


def _role(config: RunnableConfig | None) -> str:
    return role_path(_namespace(config))


def _namespace(config: RunnableConfig | None) -> str:
    # a wrapper of the model with metadata of its own hides the node's: `configurable` still has the namespace
    return _told(config, "metadata", _NAMESPACE) or _told(config, "configurable", "checkpoint_ns") or ""


def _told(config: RunnableConfig | None, part: str, key: str) -> Any:
    """A value of the config given with the call, else of the node that runs in this context, else None.

    LangChain lets a `configurable` or `metadata` of the call hide the node's; whose run it is stays the same.
    """
    for place in (config, var_child_runnable_config.get()):
        if place is not None and (values := place.get(part)) and (value := values.get(key)) is not None:  # type: ignore[attr-defined]
            return value
    return None


@lru_cache(maxsize=4096)
def role_path(namespace: str) -> str:
    """The role path in a checkpoint namespace: names without task ids, without the numbers of repeated calls."""
    parts = (part.partition(":") for part in namespace.split("|") if part)
    return "/".join(name for name, colon, _ in parts if colon or not name.isdecimal())


def _of_run(model: BaseChatModel, given: Any, name: str, config: RunnableConfig | None) -> Any:
    if (there := _named.get(name)) is None:
        raise BindError(
            f"a run names the prompts {name!r}, which nobody intercepts in this process; start it inside "
            f"`intercepting(prompts)`, or drop {PROMPTS!r} from configurable"
        )
    active, counting = there
    edits = active.edits(str(_told(config, "configurable", VERSION) or ""))
    role = _role(config)
    matched = False
    if (slots := active.roles.get(role)) is not None:
        rollout, namespace = _told(config, "configurable", ROLLOUT), _namespace(config)

        def look(message: Message, sent: str) -> str | None:
            if (found := slots.find(message, sent)) is None:
                return None
            for slot in found.slots:
                note(slot.agent, rollout, namespace)
            return found.text(edits, sent)

        matched, given = rewritten(model, given, look, human=slots.human)
    for interception in counting:
        interception.count(role, matched=matched)
    return given


def _of_raw_thread(model: BaseChatModel, given: Any) -> Any:
    """By text alone, where only one book can be meant; else counted by those whose slots have the text."""
    active, version = _only()
    if active is not None:
        every, edits = active.every, active.edits(version)
        matched, sent = rewritten(model, given, lambda m, text: every.text(edits, m, text), human=every.human)
        if matched:
            for interception in active.open:
                interception.count("", matched=True)
            return sent
    for other in _active.values():
        if _has_text(model, given, other):
            for interception in other.open:
                interception.count("", matched=False)
    return given


def _only() -> tuple[_Active | None, str]:
    """The one (prompts, version) that a call from a raw thread can mean; (None, "") where there are several or none."""
    if (turn := TURNS.current) is not None:
        return (_active.get(turn[0]), turn[1]) if TABLE.get(turn[1]) is not None else (None, "")
    raw = [active for active in _active.values() if active.prompts.raw_threads]
    if len(raw) == 1:
        versions = TABLE.having(slot.agent for slot in raw[0].prompts.slots)
        if len(versions) == 1:
            return raw[0], versions[0]
    return None, ""


def _has_text(model: BaseChatModel, given: Any, active: _Active) -> bool:
    every = active.every
    found, _ = rewritten(
        model, given, lambda m, text: text if every.find(m, text) else None, human=every.human
    )
    return found
