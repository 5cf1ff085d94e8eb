"""MultiWOZ dialogues as tasks: one for each user turn that sets slots of exactly one domain.

`python examples/multiwoz/convert.py OUT` reads `$TRUCE_DATA/multiwoz` and writes `train.jsonl`, `validation.jsonl` and
`test.jsonl` into the folder OUT.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from langgraph_truce import Splits, Task
from langgraph_truce.errors import TaskError, UserMistake
from langgraph_truce.task import write_tasks

SOURCES = {"train": "train_30.jsonl", "validation": "valid_30.jsonl", "test": "test_100.jsonl"}
"""Split -> file of dialogues; no dialogue is in two files."""
SIZES = {"train": 60, "validation": 60, "test": 100}
"""Split -> tasks drawn, where nothing else is asked for."""

State = Mapping[str, Mapping[str, str]]
"""Domain -> slot -> value, as annotated after a user turn."""


def data_folder() -> Path:
    """`$TRUCE_DATA/multiwoz`.

    Raises:
        TaskError: the variable is not set, or the folder lacks one of the three files.
    """
    root = os.environ.get("TRUCE_DATA", "")
    if not root:
        raise TaskError("TRUCE_DATA is not set; set it to the folder that holds multiwoz/train_30.jsonl")
    folder = Path(root) / "multiwoz"
    if missing := [name for name in SOURCES.values() if not (folder / name).is_file()]:
        raise TaskError(
            f"{folder}: no {', '.join(missing)}; set TRUCE_DATA to the folder that holds multiwoz/{missing[0]}"
        )
    return folder


def dialogues(path: Path) -> list[dict[str, Any]]:
    """The dialogues of a file, one JSON object a line.

    Raises:
        TaskError: a line is no dialogue.
    """
    found: list[dict[str, Any]] = []
    for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as e:
            raise TaskError(f"{path}:{n}: not a JSON object: {e}; get the file anew") from e
        if not isinstance(row, dict) or not {"dialogue_id", "turns"} <= row.keys():
            raise TaskError(f"{path}:{n}: no dialogue; it needs 'dialogue_id' and 'turns'")
        found.append(row)
    return found


def changes(before: State, after: State) -> dict[str, dict[str, str]]:
    """Domain -> its slots with a new value, by name; a domain that only lost slots is there without any."""
    out: dict[str, dict[str, str]] = {}
    for domain in sorted({*before, *after}):
        old, new = before.get(domain, {}), after.get(domain, {})
        if old != new:
            out[domain] = {slot: new[slot] for slot in sorted(new) if old.get(slot) != new[slot]}
    return out


def tasks_of(dialogue: Mapping[str, Any]) -> Iterator[Task]:
    """A task for each turn that changes the state of one domain only, and sets a slot there.

    What goes in: the user's words, and the system's words before them where there are any. What is right: the domain as
    `department`, the names of the newly set slots in alphabetical order, and their values in the same order.
    """
    state: State = {}
    said = ""
    for turn in dialogue["turns"]:
        changed = changes(state, turn["state"])
        domain, slots = next(iter(changed.items()), ("", {}))
        if len(changed) == 1 and slots:
            before = {"before": said} if said else {}
            yield Task(
                f"{dialogue['dialogue_id']}-{turn['turn']}",
                {**before, "request": " ".join(turn["user"].split())},
                {"department": domain, "slots": ", ".join(slots), "values": ", ".join(slots.values())},
                {"source": "MultiWOZ 2.1", "dialogue": dialogue["dialogue_id"]},
            )
        state, said = turn["state"], " ".join(turn["system"].split())


def draw(rows: Sequence[Mapping[str, Any]], n: int, seed: int, taken: set[str]) -> tuple[Task, ...]:
    """At most `n` tasks, none with the inputs of one `taken`: one of each dialogue, then a second one, and so on.

    So the tasks depend on each other as little as they can: turns of one dialogue are alike.
    """
    rng = random.Random(seed)
    piles: list[list[Task]] = [list(tasks_of(row)) for row in rows]
    for pile in piles:
        rng.shuffle(pile)
    rng.shuffle(piles)
    drawn: list[Task] = []
    while len(drawn) < n and any(piles):
        for pile in piles:
            task = pile.pop() if pile else None
            if task and task.content not in taken and len(drawn) < n:
                taken.add(task.content)
                drawn.append(task)
    return tuple(drawn)


def convert(sizes: Mapping[str, int], seed: int = 0) -> Splits:
    """The three splits, each drawn from its own file with the same seed.

    Raises:
        TaskError: the data are not there, or a file has fewer usable turns than `sizes` asks for.
    """
    folder = data_folder()
    taken: set[str] = set()
    splits: dict[str, tuple[Task, ...]] = {}
    for name, file in SOURCES.items():
        splits[name] = draw(dialogues(folder / file), sizes[name], seed, taken)
        if len(splits[name]) < sizes[name]:
            raise TaskError(
                f"{folder / file} gives {len(splits[name])} tasks, {sizes[name]} were asked for; "
                f"ask for fewer: --{name} {len(splits[name])}"
            )
    return Splits(**splits)


def main(words: Sequence[str] | None = None) -> int:
    """The command line; 0, or 2 after a sentence that says what is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the three task files")
    for name, n in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=n, metavar="N", help=f"tasks (default {n})")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (default 0)")
    given = parser.parse_args(words)
    try:
        splits = convert({name: getattr(given, name) for name in SIZES}, given.seed)
    except UserMistake as e:
        print(e, file=sys.stderr)
        return e.exit_code
    given.out.mkdir(parents=True, exist_ok=True)
    for name in SIZES:
        write_tasks(getattr(splits, name), given.out / f"{name}.jsonl")
        print(f"{given.out / name}.jsonl: {len(getattr(splits, name))} tasks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
