"""Which texts of one place are one prompt: a node may send several, each with fields of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from langgraph_truce.bind.discover.align import FEW_WORDS, WORD, Template, fine
from langgraph_truce.bind.discover.fields import Named, distinct, with_names
from langgraph_truce.bind.discover.known import Known
from langgraph_truce.bind.match import Pattern

COMPARED = 12
"""Texts of one prompt that a further text is aligned with, at most."""
ENOUGH = 3
"""Different texts of one prompt after which its template is tried on a further text before aligning again."""
OPENING = 24
"""Characters, and `OPENING_WORDS` words, that two texts begin or end with alike when they are one prompt."""
OPENING_WORDS = 4
SHARE = 0.5
"""Share of the shorter text that is fixed when two texts are one prompt."""
SHARE_IN_ONE_VISIT = 0.8
"""The same for two texts of one visit: a node that calls a model twice usually sends two prompts."""
SHARE_OF_CONSTANTS = 0.8
"""The same for two texts that each came more than once: they may be two prompts without fields."""

PROSE = 30
"""Characters, and `PROSE_WORDS` words, of a value that may be a prompt itself."""
PROSE_WORDS = 5


@dataclass(frozen=True, slots=True)
class Sent:
    """One text that was sent to a model."""

    text: str
    visit: str
    """Which execution of which node sent it: the checkpoint namespace with the example's number."""
    known: Known = field(default_factory=dict)
    """What the node was given."""
    given: str = ""
    """Hash of what the node was given: equal where two visits had equal inputs."""


@dataclass(slots=True)
class Group:
    """The texts of one prompt."""

    sent: list[Sent]
    code: Pattern | None = None
    """The f-string or template in the node's code that all its texts come from, where one was found."""
    constants: frozenset[str] = frozenset()
    """Texts that are written down in the node's code."""
    _first: Named | None = None
    """Of the first `ENOUGH` different texts."""

    def first(self) -> Named | None:
        """Fixed text and fields of the first `ENOUGH` different texts; None while there are fewer."""
        if self._first is None and len(self.different) >= ENOUGH:
            self._first = _named(self.different[:ENOUGH])
        return self._first

    @property
    def different(self) -> list[Sent]:
        """The first of every different text."""
        return list({s.text: s for s in reversed(self.sent)}.values())[::-1]

    def named(self) -> Named:
        """Its fixed text and fields: as the code has them, else by aligning its texts."""
        different = self.different
        if self.code is not None:
            return _as_written(self.code, different, self.constants)
        return _named(different)

    @property
    def repeated(self) -> bool:
        """Its one text came from visits with different inputs: it has no fields."""
        return len({s.text for s in self.sent}) == 1 and len({s.given or s.visit for s in self.sent}) > 1


def grouped(
    sent: Sequence[Sent], code: Sequence[Sequence[Pattern]] = (), constants: frozenset[str] = frozenset()
) -> list[Group]:
    """`sent`, in order, as one group per prompt.

    First what comes from one template in the code, then what known values explain, then what is alike.

    Args:
        sent: The texts of one place.
        code: f-strings and templates in the code, the nearest first.
        constants: Texts that are written down in the code.
    """
    near = [[c for c in some if _worded(c) or (n == 0 and _begun(c))] for n, some in enumerate(code)]
    written = [c for some in near for c in sorted(some, key=lambda c: -c.fixed)]
    groups: dict[tuple[str, Pattern | None], Group] = {}
    for one in sent:
        own = next((c for c in written if c.match(one.text) is not None), None)
        if one.text in constants and words([one.text]) >= FEW_WORDS:
            own = Pattern((one.text,))  # the code has it word for word: it has no fields
        elif own is not None:
            own = _put_in(own, one, constants)
        key = ("", own) if own is not None else (one.text, None)
        groups.setdefault(key, Group([], own, constants)).sent.append(one)
    return _merged(_merged(list(groups.values()), _explained), _alike)


def _worded(code: Pattern) -> bool:
    return bool(code.names) and words(code.pieces) >= FEW_WORDS


def _begun(code: Pattern) -> bool:
    """Whether a shorter template of the node's own code may be told by how it begins."""
    return bool(code.names) and words(code.pieces) > 1 and words(code.pieces[:1]) > 0


def _put_in(code: Pattern, sent: Sent, constants: frozenset[str]) -> Pattern:
    """The template with the prompts that stand in the code put in: each of them makes a prompt of its own."""
    values = code.match(sent.text)
    assert values is not None
    given = {value for texts in sent.known.values() for value in texts}
    own = {
        name for name, value in values.items() if _prose(value) and value in constants and value not in given
    }
    pieces, names = [code.pieces[0]], []
    for name, piece in zip(code.names, code.pieces[1:], strict=True):
        if name in own:
            pieces[-1] += values[name] + piece
        else:
            pieces.append(piece)
            names.append(name)
    return Pattern(tuple(pieces), tuple(names)) if own else code


def _prose(text: str) -> bool:
    """Whether a text that is put in looks like a prompt, or a part of one."""
    return len(text) >= PROSE and words([text]) >= PROSE_WORDS


def words(texts: Iterable[str]) -> int:
    """Words of two letters or more; in scripts without spaces, pairs of characters."""
    return sum(len(WORD.findall(text)) for text in texts)


def _merged(groups: Sequence[Group], fits: Callable[[Group, Group], float]) -> list[Group]:
    """Every group joined to the one before it that it fits best, where it fits one."""
    out: list[Group] = []
    for group in groups:
        fit, best = max(((fits(other, group), -n) for n, other in enumerate(out)), default=(0.0, 0))
        if fit > 0:
            out[-best].sent += group.sent
        else:
            out.append(group)
    return out


def _explained(one: Group, other: Group) -> float:
    """Share that is fixed where both come from one template whose fields are all known values, else 0."""
    if one.code or other.code or (one.repeated and other.repeated and _constants_apart(one, other)):
        return 0.0
    if (first := one.first()) is not None and all(first.told) and _made_from(first, other.different):
        return first.template.size
    both = _named([*one.different[:COMPARED], *other.different])
    if not both.template.values[0] or not all(both.told):
        return 0.0
    return both.template.size if words(both.template.fixed) >= OPENING_WORDS // 2 else 0.0


def _made_from(named: Named, sent: Sequence[Sent]) -> bool:
    """Whether all texts come from the template with their known values put in."""
    own = Pattern(named.template.fixed, named.names)
    found = [(own.match(s.text), s.known) for s in sent]
    return all(
        values is not None and all(value in known.get(name, ()) for name, value in values.items())
        for values, known in found
    )


def _alike(one: Group, other: Group) -> float:
    """Share that is fixed where it is so much that both are taken for one template, else 0."""
    if one.code or other.code or (len(one.different) > 1 and len(other.different) > 1):
        return 0.0  # each is explained by itself
    shortest = min(len(s.text) for s in [*one.different, *other.different])
    if (first := one.first()) is not None and Pattern(first.template.fixed, first.names).match(
        other.sent[0].text
    ):
        return first.template.size / max(1, shortest)
    template = _named([*one.different[:COMPARED], *other.different]).template
    share = template.size / max(1, shortest)
    if words(template.fixed) < OPENING_WORDS - 1:
        return 0.0
    if {s.visit for s in one.sent} & {s.visit for s in other.sent}:
        return share if share >= SHARE_IN_ONE_VISIT else 0.0
    if one.repeated and other.repeated:
        return share if share >= SHARE_OF_CONSTANTS else 0.0
    return share if share >= SHARE or _long(template.fixed[0]) or _long(template.fixed[-1]) else 0.0


def _constants_apart(one: Group, other: Group) -> bool:
    template = _named([one.sent[0], other.sent[0]]).template
    return template.size < SHARE * min(len(one.sent[0].text), len(other.sent[0].text))


def _long(run: str) -> bool:
    return len(run) >= OPENING and words([run]) >= OPENING_WORDS


def _named(sent: Sequence[Sent]) -> Named:
    return with_names(fine([s.text for s in sent]), [s.known for s in sent])


def _as_written(code: Pattern, sent: Sequence[Sent], constants: frozenset[str]) -> Named:
    """The code's own template; a constant of the code that is put in, and a prompt that is, are fixed text.

    Any other value that only did not vary here stays a field: today's date is another one tomorrow.
    """
    rows = []
    for one in sent:
        values = code.match(one.text)
        assert values is not None
        rows.append([values[name] for name in code.names])
    fixed, names = [code.pieces[0]], []
    columns: list[tuple[str, ...]] = []
    given = {value for one in sent for values in one.known.values() for value in values}
    for name, column, piece in zip(code.names, zip(*rows, strict=True), code.pieces[1:], strict=True):
        value = column[0]
        constant = (value in constants and words([value]) > 1) or _prose(value)
        # (a `{name}` that is sent as it stands is no field)
        if len(set(column)) == 1 and ((constant and value not in given) or value == f"{{{name}}}"):
            fixed[-1] += value + piece
        else:
            fixed.append(piece)
            names.append(name)
            columns.append(column)
    template = Template(tuple(fixed), tuple(zip(*columns, strict=True)) if columns else ((),) * len(sent))
    return Named(template, distinct(template, names), (True,) * len(names))


def coarser(template: Template) -> Template:
    """The same texts with one field from the first to the last difference."""
    if len(template.fixed) <= len("ab"):
        return template
    lead, tail = template.fixed[0], template.fixed[-1]
    rows = [(text[len(lead) : len(text) - len(tail)],) for text in template.texts()]
    return Template((lead, tail), tuple(rows))
