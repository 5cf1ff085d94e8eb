"""`approve="ask"`: a person at the terminal, edit by edit: the diff, why it was asked for, what it did, and one key."""

from __future__ import annotations

import asyncio
import getpass
import select
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from langgraph_truce.errors import UserMistake
from langgraph_truce.optimizer.proposal import asking_words, evidence_words
from langgraph_truce.optimizer.review import Answers, Proposal
from langgraph_truce.report.visible import visible

KEYS = {"a": "accept", "r": "reject", "w": "reword", "d": "defer"}
QUIT = "q"
ASKED = "[a]ccept, [r]eject, [w] reword, [d]efer to the next iteration, [q]uit and answer later: "
END = "."
"""A line of its own that ends a new wording."""
STYLES = {"+ ": "green", "- ": "red", "  ": ""}

Read = Callable[[], Awaitable[str]]
"""The next line that the person types; empty at the end of the input."""


def require_terminal() -> None:
    """Refuse before anything is spent.

    Raises:
        UserMistake: nobody can type here.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UserMistake(
            "approve 'ask' needs a terminal to ask at, and this process has none; take 'file', which writes the "
            "question into the run folder, or 'interrupt'"
        )


class Asking:
    """Asks for each edit of a proposal."""

    def __init__(self, console: Console | None = None, read: Read | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._read = read or typed

    async def __call__(self, proposal: Proposal) -> Answers | None:
        """The person's answers; None where they want to answer later."""
        self._say("\n".join(evidence_words(proposal)), "bold")
        if proposal["problem"]:
            self._say(f"Not taken: {proposal['problem']}", "red")
        answers: dict[str, dict[str, str]] = {}
        for number, edit in enumerate(proposal["edits"], 1):
            self._show(edit, f"{number} of {len(proposal['edits'])}")
            one = await self._answer(edit)
            if one is None:
                return None
            answers[edit["id"]] = one
        return {"edits": answers, "by": getpass.getuser()}

    def _show(self, edit: Mapping[str, Any], place: str) -> None:
        self._say(f"\n{edit['id']} ({place}): {edit['op']} {edit['agent']} {edit['rule']}".rstrip(), "bold")
        for line in visible(edit["diff"]).split("\n"):
            self._say(line, STYLES.get(line[:2], ""))
        for words in asking_words(edit):
            self._say(words, "dim")

    async def _answer(self, edit: Mapping[str, Any]) -> dict[str, str] | None:
        while True:
            self._console.print(Text(ASKED), end="", soft_wrap=True)
            line = await self._read()
            key = line.strip().lower()
            if not line or key == QUIT:
                return None
            if key == "w" and edit["op"] == "DELETE":
                self._say("This edit takes a rule out; it has no wording.")
            elif key in KEYS:
                answer = {"answer": KEYS[key]}
                text = await self._wording() if key == "w" else ""
                return {**answer, "text": text} if key == "w" else answer
            else:
                self._say(f"Not understood: {key!r}.")

    async def _wording(self) -> str:
        self._say(f"The new wording; a line with only {END!r} ends it:")
        lines: list[str] = []
        while (line := await self._read()) and line.rstrip("\n") != END:
            lines.append(line.rstrip("\n"))
        return "\n".join(lines)

    def _say(self, words: str, style: str = "") -> None:
        self._console.print(Text(visible(words), style=style), soft_wrap=True)


async def typed() -> str:
    """The next line at the terminal; the loop goes on meanwhile, so leases stay alive and Ctrl-C works."""
    # a terminal hands over whole lines: once there is something to read, there is a line
    while not select.select([sys.stdin], [], [], 0)[0]:
        await asyncio.sleep(0.05)
    return sys.stdin.readline()
