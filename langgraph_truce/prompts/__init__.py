"""The optimizer's own instructions to a model: `.md` files beside this one, with `{{fields}}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from langgraph_truce.errors import UnknownNameError

_FIELD = re.compile(r"\{\{ *(\w+) *\}\}")


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt with `{{field}}` places; JSON braces need no escaping."""

    name: str
    text: str

    @property
    def fields(self) -> frozenset[str]:
        """Names of its places."""
        return frozenset(_FIELD.findall(self.text))

    def fill(self, fields: Mapping[str, str]) -> str:
        """The text with every place filled, in one pass: values are never expanded again.

        Raises:
            UnknownNameError: `fields` are not exactly the template's; the message names both sets.
        """
        if self.fields != fields.keys():
            raise UnknownNameError(
                f"prompt {self.name!r} takes the fields {sorted(self.fields)}, got {sorted(fields)}"
            )
        return _FIELD.sub(lambda m: fields[m[1]], self.text)


def names() -> tuple[str, ...]:
    """Every prompt's name, sorted."""
    files = resources.files(__name__).iterdir()
    return tuple(sorted(f.name.removesuffix(".md") for f in files if f.name.endswith(".md")))


def load(name: str) -> Template:
    """The prompt `NAME.md`.

    Raises:
        UnknownNameError: no such prompt; the message lists those there are.
    """
    file = resources.files(__name__).joinpath(f"{name}.md")
    if not file.is_file():
        raise UnknownNameError(f"no prompt {name!r}; there are: {', '.join(names())}")
    return Template(name, file.read_text(encoding="utf-8"))
