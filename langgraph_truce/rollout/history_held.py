"""A saver over rows that were read already: LangGraph's own history reads them without another look at the database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, Checkpoint, CheckpointTuple


class HeldSaver(BaseCheckpointSaver[Any]):
    """Read-only; LangGraph changes what it is given, so each reading gets copies of the parts it changes."""

    def __init__(self, rows: Sequence[CheckpointTuple]) -> None:
        super().__init__()
        self._rows = sorted(rows, key=lambda row: row.checkpoint["id"], reverse=True)

    def list(self, config: RunnableConfig | None, **kwargs: Any) -> Iterator[CheckpointTuple]:  # noqa: ARG002
        """Newest first; of the namespace and checkpoint that `config` names. Filters are not used here."""
        wanted = (config or {}).get("configurable", {})
        for row in self._rows:
            place = row.config["configurable"]
            if all(place[key] == wanted[key] for key in _KEYS if wanted.get(key) is not None):
                yield row._replace(checkpoint=_copied(row.checkpoint))

    async def alist(self, config: RunnableConfig | None, **kwargs: Any) -> AsyncIterator[CheckpointTuple]:
        """As `list`."""
        for row in self.list(config, **kwargs):
            yield row

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, else the newest of its namespace."""
        place = {"checkpoint_ns": "", **config["configurable"]}
        return next(self.list({"configurable": place}), None)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`."""
        return self.get_tuple(config)


_KEYS = ("checkpoint_ns", "checkpoint_id")


def _copied(checkpoint: Checkpoint) -> Checkpoint:
    changed = {
        "channel_values": dict(checkpoint["channel_values"]),
        "channel_versions": dict(checkpoint["channel_versions"]),
        "versions_seen": {name: dict(seen) for name, seen in checkpoint["versions_seen"].items()},
    }
    return cast("Checkpoint", {**checkpoint, **changed})
