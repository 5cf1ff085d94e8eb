"""`adiscover`: run the examples, read what was heard, and put the report together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langgraph.pregel import Pregel

from langgraph_truce.bind.discover.find import Finding, Heard, find, holds, stands_for
from langgraph_truce.bind.discover.names import agent_names, shared
from langgraph_truce.bind.discover.record import Feed, Recording, record, texts_of
from langgraph_truce.bind.discover.report import Discovery, Found, NotFound, NotReached
from langgraph_truce.bind.discover.source import Source, nodes_of, sources
from langgraph_truce.bind.found import Prompts, Slot
from langgraph_truce.errors import SystemMismatch
from langgraph_truce.task import Task


async def adiscover(
    graph: Any, examples: Iterable[Any], *, slots: Sequence[Slot] = (), feed: Feed | None = None
) -> Discovery:
    """Run `examples` once on a copy of `graph` and find the prompts its nodes send.

    Raises:
        SystemMismatch: `graph` is no compiled graph, there is no example, an example is no mapping, a slot's role is
            not in the graph, every example raised, or no prompt was found.
    """
    given = _checked(graph, examples)
    code = sources(graph)
    recording = await record(graph, given, feed or Feed())
    _check_roles(slots, [*nodes_of(graph), *recording.ran, *(call.role for call in recording.calls)])
    if len(recording.errors) == len(given):
        raise SystemMismatch(f"discover: every example raised, the first says: {recording.errors[0]}")
    _place_raw(recording, code)
    finding = find(recording, slots, dict(code))
    report = _report(recording, finding, slots, code, nodes_of(graph), len(given))
    if not report.found:
        raise SystemMismatch(_nothing(report, recording))
    return report


def _checked(graph: Any, examples: Iterable[Any]) -> list[Mapping[str, Any]]:
    if not isinstance(graph, Pregel):
        kind = type(graph).__name__
        if kind == "RemoteGraph":
            hint = "; a remote graph's prompts cannot be seen from here, discover it where it runs"
        else:
            hint = "; call .compile() on it first" if hasattr(graph, "compile") else ""
        raise SystemMismatch(f"discover needs a compiled LangGraph graph, got {kind}{hint}")
    listed = [examples] if isinstance(examples, Mapping) else list(examples)
    listed = [one.inputs if isinstance(one, Task) else one for one in listed]
    if not listed:
        raise SystemMismatch(
            "discover needs at least one example to run, got none; give some of the train tasks' inputs"
        )
    for n, one in enumerate(listed, 1):
        if not isinstance(one, Mapping):
            raise SystemMismatch(
                f"example {n} is {one!r}, but the inputs of a task are a mapping; write {{'question': ...}}, with "
                "inputs= to turn it into what the graph takes"
            )
    return listed


def _check_roles(slots: Sequence[Slot], roles: Sequence[str]) -> None:
    for slot in slots:
        if slot.role not in roles:
            there = ", ".join(sorted(set(roles)))
            raise SystemMismatch(
                f"a slot names the role {slot.role!r}, which the graph has not; its roles are: {there}"
            )


def _place_raw(recording: Recording, code: Mapping[str, Source]) -> None:
    """Give calls from raw threads the role whose code holds their text, where the running nodes did not tell."""
    called = {call.role for call in recording.calls}
    quiet = [role for role in recording.ran if role not in called]
    for n, call in enumerate(recording.calls):
        if call.role:
            continue
        texts = [text for m in call.messages for _, text in texts_of(m.content) if text.strip()]
        holders = [
            r for r, s in code.items() if any(holds(t, c) or t in c.text for c in s.texts for t in texts)
        ]
        roles = holders or quiet
        recording.calls[n] = replace(call, role=roles[0] if roles else "")


def _report(
    recording: Recording,
    finding: Finding,
    by_hand: Sequence[Slot],
    code: Mapping[str, Source],
    nodes: Sequence[str],
    examples: int,
) -> Discovery:
    heard = [one for one in finding.heard if not one.template and one.slot.role]
    prompts = Prompts((*by_hand, *_with_agents(heard, by_hand)), any(call.raw for call in recording.calls))
    same = shared({slot.agent: (slot.message, slot.text) for slot in prompts.slots})
    found = [
        Found(s.agent, s.role, s.message, s.fields, t, once, same[s.agent], n < len(by_hand))
        for n, (s, t, once) in enumerate(_counted(prompts, recording, heard, len(by_hand)))
    ]
    called = {call.role for call in recording.calls} | recording.direct.keys()
    containers = {role.rpartition("/")[0] for role in [*code, *recording.ran]}
    missing = [role for role in nodes if role not in recording.ran and role not in containers]
    return Discovery(
        prompts,
        examples,
        tuple(found),
        not_reached=tuple(NotReached(role, _offered(role, code[role])) for role in missing),
        not_reachable=tuple(_not_reachable(recording, code)),
        not_stable=tuple(NotFound(*row) for row in {**finding.given, **finding.unstable}.items()),
        no_prompt=tuple(_without_prompt(recording, prompts, finding)),
        candidates=tuple(h.slot for h in finding.heard if h.template and h.slot.role and not h.once),
        silent=tuple(role for role in recording.ran if role not in called | containers),
        errors=tuple(recording.errors),
        calls=None
        if recording.errors
        else (len(recording.calls) + sum(recording.direct.values())) / examples,
    )


def _with_agents(heard: Sequence[Heard], by_hand: Sequence[Slot]) -> list[Slot]:
    names = agent_names([one.slot.role for one in heard], [slot.agent for slot in by_hand])
    return [
        Slot(h.slot.role, h.slot.text, h.slot.fields, h.slot.message, name)
        for h, name in zip(heard, names, strict=True)
    ]


def _counted(
    prompts: Prompts, recording: Recording, heard: Sequence[Heard], hand: int
) -> list[tuple[Slot, int, bool]]:
    own = []
    for slot in prompts.slots[:hand]:
        sent = [
            call
            for call in recording.calls
            if call.role == slot.role
            and any(stands_for(slot, t) for m in call.messages for _, t in texts_of(m.content))
        ]
        own.append((slot, len(sent), False))
    found = [(s, h.times, h.once) for s, h in zip(prompts.slots[hand:], heard, strict=True)]
    return [*own, *found]


def _offered(role: str, source: Source) -> tuple[Slot, ...]:
    return tuple(Slot(role, one.text, one.fields) for one in source.texts)


def _without_prompt(recording: Recording, prompts: Prompts, finding: Finding) -> list[NotFound]:
    named = {slot.role for slot in prompts.slots} | finding.given.keys() | finding.unstable.keys()
    why = "it sends no system message, and no fixed text in the first or last human one"
    lost = "its node could not be told; name the prompt with slots="
    called = dict.fromkeys(call.role for call in recording.calls)
    return [
        NotFound(role or "a thread without run context", why if role else lost)
        for role in called
        if role not in named
    ]


def _not_reachable(recording: Recording, code: Mapping[str, Source]) -> list[NotFound]:
    out = [
        NotFound(
            role,
            f"its code uses {', '.join(source.clients)} directly; call it through a LangChain chat model",
        )
        for role, source in code.items()
        if source.clients
    ]
    out += [
        NotFound(role, f"{n} calls of model.generate pass interception by; call model.invoke instead")
        for role, n in recording.direct.items()
    ]
    return out


def _nothing(report: Discovery, recording: Recording) -> str:
    blocked = [*report.not_reachable, *report.not_stable]
    if blocked:
        why = "; ".join(f"{one.role}: {one.why}" for one in blocked)
    elif recording.calls:
        why = "the models were sent no system message and no fixed text in the first or last human one; name the prompts with slots="
    else:
        why = "no node called a chat model; give examples that reach the nodes that do"
    errors = f" ({report.errors[0]})" if report.errors else ""
    return f"discover: no prompt was found in {report.examples} example(s){errors}: {why}"
