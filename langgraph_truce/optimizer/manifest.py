"""The manifest of a run: which run a place belongs to, written when it begins and compared whenever it goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from langgraph.store.base import BaseStore

from langgraph_truce.errors import NOT_JSON, RunError

MANIFEST = "run.json"
SCHEMA = 1


class Manifest(Protocol):
    """A manifest, as text."""

    def read(self) -> str | None:
        """What is there; None where there is none."""

    def write(self, text: str) -> None:
        """Keep it, whole or not at all."""


@dataclass(frozen=True, slots=True)
class FolderManifest:
    """The file `run.json` of a run folder."""

    folder: Path

    def read(self) -> str | None:
        """Its text."""
        file = self.folder / MANIFEST
        return file.read_text(encoding="utf-8") if file.is_file() else None

    def write(self, text: str) -> None:
        """Beside, then in place of it."""
        fresh = (self.folder / MANIFEST).with_suffix(".tmp")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.folder / MANIFEST)

    def __str__(self) -> str:
        return str(self.folder / MANIFEST)


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """An item in the store of a run."""

    store: BaseStore
    namespace: tuple[str, ...]
    shown: str

    def read(self) -> str | None:
        """Its text."""
        item = self.store.get(self.namespace, "manifest")
        return None if item is None else str(item.value["json"])

    def write(self, text: str) -> None:
        """One item."""
        self.store.put(self.namespace, "manifest", {"json": text}, index=False)

    def __str__(self) -> str:
        return self.shown


def read(kept: Manifest) -> dict[str, Any]:
    """What a manifest says.

    Raises:
        RunError: there is none, or it is damaged.
    """
    text = kept.read()
    if text is None:
        where = str(kept).removesuffix(f"/{MANIFEST}")
        what = (
            f"no run folder, {MANIFEST} is missing" if where != str(kept) else "no run of this name is there"
        )
        raise RunError(f"{where}: {what}; give the place that optimize() was given")
    try:
        found = json.loads(text)
    except NOT_JSON as e:
        raise RunError(f"{kept}: damaged, not JSON: {e}") from e
    if not isinstance(found, dict):
        raise RunError(f"{kept}: damaged, a JSON object is expected")
    return found


def check(kept: Manifest, manifest: Mapping[str, Any], where: str) -> None:
    """Write a manifest, or compare it with the one that is there.

    Args:
        kept: Where it is.
        manifest: Which run is to go on, as JSON.
        where: The place, for the sentence.

    Raises:
        RunError: the place belongs to another run; the message names what differs.
    """
    # compared as JSON: what was written is what counts, not tuples against lists
    wanted = json.loads(json.dumps({"schema": SCHEMA, **manifest}))
    if kept.read() is None:
        kept.write(json.dumps(wanted, indent=2, sort_keys=True) + "\n")
        return
    found = read(kept)
    differ = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
    if differ:
        said = "; ".join(row for k in differ for row in _differs(k, found.get(k), wanted.get(k)))
        kind = "folder" if isinstance(kept, FolderManifest) else "place"
        back = ", or go on with --approve (approve=) as it began" if differ == ["reviewed"] else ""
        raise RunError(
            f"{where}: this {kind} belongs to another run ({said}); choose another run {kind}{back}"
        )


def _differs(name: str, there: Any, now: Any) -> list[str]:
    """What differs, setting by setting: `settings.thresholds.tau: 0.5 there, 0.4 now`."""
    if isinstance(there, dict) and isinstance(now, dict):
        keys = sorted(k for k in there.keys() | now.keys() if there.get(k) != now.get(k))
        return [row for k in keys for row in _differs(f"{name}.{k}", there.get(k), now.get(k))]
    return [f"{name}: {there!r} there, {now!r} now"]
