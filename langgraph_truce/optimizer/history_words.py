"""The history of a run's rules in words: its versions, what made each, and what was tried in vain."""

from __future__ import annotations

from langgraph_truce.errors import UnknownNameError
from langgraph_truce.optimizer.history import Ledger, Line, Version
from langgraph_truce.optimizer.proposal import changed
from langgraph_truce.optimizer.reasons import figures
from langgraph_truce.report.visible import visible


def history_words(ledger: Ledger, what: str = "") -> list[str]:
    """The history of the whole book, of the agent `what`, or of one rule, AGENT/RULE; oldest first.

    Raises:
        UnknownNameError: no such agent or rule; the message lists those there are.
    """
    _require(ledger, what)
    out: list[str] = []
    for number, version in enumerate(ledger.versions):
        about = [line for line in version.edits if _is_about(line, what)]
        if number and not about and what:
            continue
        out.append(_head(version, current=number + 1 == len(ledger.versions)))
        out += [f"  {words}" for line in about for words in _edit(line)]
        if not number and "/" in what:
            out += [f"  {text}" for text in _text(version, what).split("\n")]
    vain = [line for line in ledger.lines if line["version_before"] == line["version_after"]]
    if failed := [line for line in vain if _is_about(line, what) and line["decision"] != "accept"]:
        out.append("tried in vain")
        out += [f"  {words}" for line in failed for words in _edit(line)]
    return [visible(line) for line in out]


def _head(version: Version, *, current: bool) -> str:
    if not version.edits:
        made = "as they came"
    else:
        last = version.edits[-1]
        done = "reverted" if last["kind"] == "revert" else "applied"
        made = f"iteration {last['iteration']}, {done} by {last['approver']}, {last['at']}"
    return f"{version.version}  {made}" + ("  (current)" if current else "")


def _edit(line: Line) -> list[str]:
    measured = f"  {figures(line)}" if figures(line) else ""
    head = f"{line['id'] or '-'}  {line['op']} {line['agent']}/{line['rule_id'] or '(new)'}  {line['decision']}{measured}"
    return [head, *("    " + part for part in changed(line["op"], line["before"], line["after"]).split("\n"))]


def _is_about(line: Line, what: str) -> bool:
    return not what or what in {line["agent"], f"{line['agent']}/{line['rule_id']}"}


def _text(version: Version, what: str) -> str:
    for agent, rules in version.book.agents.items():
        for rule in rules.rules:
            if what == f"{agent}/{rule.id}":
                return rule.text
    return "(the rule was not there yet)"


def _require(ledger: Ledger, what: str) -> None:
    there = {
        name
        for version in ledger.versions
        for agent, rules in version.book.agents.items()
        for name in (agent, *(f"{agent}/{rule.id}" for rule in rules.rules))
    }
    if what and what not in there:
        raise UnknownNameError(
            f"{ledger.place}: no agent or rule {what!r}; there are: {', '.join(sorted(there))}"
        )
