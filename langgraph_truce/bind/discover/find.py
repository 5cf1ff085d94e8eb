"""From what models were sent to slots: one per prompt and role, each proved on every text it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from langgraph_truce.bind.discover.align import FEW_WORDS
from langgraph_truce.bind.discover.cluster import Group, Sent, coarser, grouped, words
from langgraph_truce.bind.discover.fields import Named, with_names
from langgraph_truce.bind.discover.record import Call, Recording, texts_of
from langgraph_truce.bind.discover.source import CodeText, Source
from langgraph_truce.bind.found import Message, Slot
from langgraph_truce.bind.match import cut, pattern

INSTRUCTION_WORDS = 5
"""Words of fixed text in a human message that make it instructions."""
MANY = 3
"""Different texts with too little in common that make a prompt not stable."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One prompt that was heard."""

    slot: Slot
    times: int
    """Calls that sent it."""
    once: bool
    """True: all calls came from one example and the code does not tell, so what varies is not known."""
    template: bool = False
    """True: it is a human message beside a system message: not made a slot, only offered."""


@dataclass(slots=True)
class Finding:
    """What the recording holds."""

    heard: list[Heard] = field(default_factory=list)
    unstable: dict[str, str] = field(default_factory=dict)
    """Role -> why its prompt is no slot."""
    given: dict[str, str] = field(default_factory=dict)
    """Role -> why its prompt is not the code's."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where texts were sent from."""

    role: str
    message: Message
    number: int
    """Which of the call's system messages; of human ones, 0 is the first and 1 the last."""
    block: int
    template: bool = False
    """A human message beside a system message."""


def find(recording: Recording, by_hand: Sequence[Slot], sources: dict[str, Source]) -> Finding:
    """Every prompt in the recording that none of the slots `by_hand` stands for."""
    finding = Finding()
    places: dict[_Place, list[Sent]] = {}
    anywhere = Source(
        tuple(t for source in sources.values() for t in source.texts),
        constants=frozenset(t for source in sources.values() for t in source.constants),
        short=tuple(t for source in sources.values() for t in source.short),
    )
    for call in recording.calls:
        for place, text in _texts(recording, call):
            if text.strip() and not _stands(by_hand, place, text):
                places.setdefault(place, []).append(_sent(recording, call, text))
    for place, sent in places.items():
        own = [one for one in sent if not _passed_on(recording, place.message, one)]
        if sent and not own and place.message == "system":
            finding.given[place.role] = "its system message comes with the task's input, not from the code"
        _prompts(place, own, [sources.get(place.role, Source()), anywhere], finding)
    finding.heard = _once_each(finding.heard)
    return finding


def stands_for(slot: Slot, text: str) -> bool:
    """Whether `text` is the slot's, and comes back from it byte for byte."""
    own = pattern(slot)
    values = own.match(text)
    return values is not None and own.fill(values) == text


def _texts(recording: Recording, call: Call) -> Iterator[tuple[_Place, str]]:
    systems = [m for m in call.messages if isinstance(m, SystemMessage)]
    for number, message in enumerate(systems):
        for block, text in texts_of(message.content):
            yield _Place(call.role, "system", number, block), text
    humans = [m for m in call.messages if isinstance(m, HumanMessage)]
    for number, human in enumerate([*humans[:1], *_request(recording, call, humans)]):
        for block, text in texts_of(human.content):
            yield _Place(call.role, "human", number, block, template=bool(systems)), text


def _request(recording: Recording, call: Call, humans: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    """The last message, where it follows on messages that the node only passes on ("Summarise the talk above.")."""
    if len(humans) < 2 or humans[-1] is not call.messages[-1]:  # noqa: PLR2004
        return []
    passed = all(_passed_on(recording, "human", Sent(t, call.visit)) for _, t in texts_of(humans[0].content))
    return humans[-1:] if passed else []


def _stands(slots: Sequence[Slot], place: _Place, text: str) -> bool:
    return any(s.role == place.role and s.message == place.message and stands_for(s, text) for s in slots)


def _sent(recording: Recording, call: Call, text: str) -> Sent:
    if not call.visit:
        return Sent(text, "")
    # the whole text as a value is what the node's code gave to a chain, not what it made the text from
    known = {name: values - {text} for name, values in recording.known(call.visit).items()}
    return Sent(text, call.visit, known, recording.digest(call.visit))


def _passed_on(recording: Recording, message: Message, sent: Sent) -> bool:
    """Whether the node did not write the text: it came with the task, or (a human message) from anywhere."""
    given = recording.came_with(sent.visit) if message == "system" else recording.passed_on(sent.visit)
    return sent.text in given


def _prompts(place: _Place, sent: Sequence[Sent], sources: Sequence[Source], finding: Finding) -> None:
    """What one place sent; the code of its own node first, then that of all: a prompt may come through the state."""
    written = [[cut(c.text, c.fields) for c in (*source.texts, *source.short)] for source in sources]
    constants = frozenset(text for source in sources for text in source.constants)
    groups = grouped(sent, written, constants)
    loose = [g for g in groups if _by_chance(g, sources[-1])]
    same_input = len({g.sent[0].given for g in loose if g.sent[0].given}) < len(loose)
    unstable = len(loose) >= MANY or (len(loose) > 1 and same_input)
    why = f"{len(loose)} calls sent {len(loose)} texts with too little in common" if unstable else ""
    for group in groups:
        slot = None if unstable and group in loose else _slot(place, group)
        if slot is not None:
            finding.heard.append(Heard(slot, len(group.sent), _once(group, slot), place.template))
        else:
            why = why or "no word of its system message stays the same"
    if why and place.message == "system":
        finding.unstable[place.role] = f"{why}; name what is fixed by hand with slots="


def _once(group: Group, slot: Slot) -> bool:
    """Whether all of it comes from one example, and the code does not tell what varies."""
    if group.code is not None and set(group.code.names) == set(slot.fields):
        return False
    examples = {s.visit.partition(" ")[0] for s in group.sent if s.visit}
    return len(group.sent) == 1 or len(examples) == 1


def _by_chance(group: Group, source: Source) -> bool:
    """One text, heard once, of which the node's code holds no part."""
    if len(group.sent) > 1:
        return False
    return not any(holds(group.sent[0].text, code) for code in source.texts)


def holds(text: str, code: CodeText) -> bool:
    """Whether `text` may be made from `code`: all longer pieces of its fixed text are in it."""
    pieces = [p.strip() for p in cut(code.text, code.fields).pieces if words([p]) >= FEW_WORDS]
    return bool(pieces) and all(piece in text for piece in pieces)


def _slot(place: _Place, group: Group) -> Slot | None:
    """The slot that stands for every text of the group: with its fields, else with one field, else none."""
    own = group.named()
    for named in (own, _one_field(own, group)):
        slot = Slot(place.role, named.text, named.fields, place.message)
        fixed = words(named.template.fixed)
        enough = INSTRUCTION_WORDS if place.message == "human" else 1
        if fixed >= enough and all(stands_for(slot, s.text) for s in group.sent):
            return slot
    return None


def _one_field(own: Named, group: Group) -> Named:
    return with_names(coarser(own.template), [s.known for s in group.different])


def _once_each(heard: Sequence[Heard]) -> list[Heard]:
    """Prompts that came from several places of one role (a second block, a second message) as one."""
    out: dict[tuple[str, str, str, bool], Heard] = {}
    for one in heard:
        key = (one.slot.role, one.slot.message, one.slot.text, one.template)
        before = out.get(key)
        if before is not None:
            one = Heard(one.slot, before.times + one.times, before.once and one.once, one.template)  # noqa: PLW2901
        out[key] = one
    return list(out.values())
