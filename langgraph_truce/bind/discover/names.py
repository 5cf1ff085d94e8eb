"""What the agents of discovered prompts are called."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

INNER = ("model", "agent")
"""What `create_agent` and its forerunner call the node that sends the prompt."""

_TAIL = re.compile(r"(?:~\d+)?(?:@\d+)?\Z")


def role_of(agent: str) -> str:
    """The role path of an agent: its name without `~NUMBER` and `@ROUND`."""
    return _TAIL.sub("", agent, count=1)


def agent_names(roles: Sequence[str], taken: Collection[str] = ()) -> tuple[str, ...]:
    """One name per prompt, in order of first appearance: the role path, `ROLE~2` for its second prompt, and so on.

    A trailing `/model` or `/agent` is left out where nothing else inside its parent sends a prompt.

    Args:
        roles: Role path of each prompt; a role with several prompts stands there several times.
        taken: Names that are given already.
    """
    base = {role: _base(role, {*roles, *map(role_of, taken)}) for role in roles}
    used = set(taken)
    out = []
    for role in roles:
        name, number = base[role], 1
        while name in used:
            number += 1
            name = f"{base[role]}~{number}"
        used.add(name)
        out.append(name)
    return tuple(out)


def shared(texts: Mapping[str, tuple[str, str]]) -> Mapping[str, tuple[str, ...]]:
    """Agent -> the other agents of the same (message, text)."""
    return {
        agent: tuple(other for other in texts if other != agent and texts[other] == texts[agent])
        for agent in texts
    }


def _base(role: str, roles: Collection[str]) -> str:
    parent, _, last = role.rpartition("/")
    if last not in INNER or not parent:
        return role
    alone = not any(other == parent or (other != role and other.startswith(f"{parent}/")) for other in roles)
    return parent if alone else role
