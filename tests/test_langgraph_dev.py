"""`langgraph dev` opens every graph of `langgraph.json`, the optimizer among them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from langgraph_sdk import get_client

ROOT = Path(__file__).parents[1]
START = 90
"""Seconds the server may take to answer on a busy machine."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A development server over the repository's `langgraph.json`, ended by its own process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("langgraph-dev")  # the server keeps its state in the working directory
    shutil.copy(ROOT / "langgraph.json", folder)
    for name in ("graphs", "langgraph_truce", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    command = [str(Path(sys.executable).with_name("langgraph")), "dev", "--no-browser", "--no-reload"]
    environment = os.environ | {"LANGSMITH_TRACING": "false", "LANGGRAPH_STRICT_MSGPACK": "false"}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(server, port, folder / "server.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(20)


async def drawings(address: str) -> dict[str, set[str]]:
    """Graph -> names of its nodes, as the server draws it."""
    async with get_client(url=address) as client:
        found: dict[str, set[str]] = {}
        for assistant in await client.assistants.search(limit=100):
            drawing = await client.assistants.get_graph(assistant["assistant_id"])
            found[assistant["graph_id"]] = {str(n["id"]) for n in drawing["nodes"]}
    return found


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until the server listens; fails with its last words where it ends before."""
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        said = log.read_text(errors="replace")[-2000:]
        assert server.poll() is None, f"the server ended: {said}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(f"no answer in {START} s: {said}")


async def test_every_graph_is_drawn(address: str) -> None:
    wanted = set(json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))["graphs"])

    found = await drawings(address)

    assert wanted <= set(found)
    assert {"manager", "aggregator", "responder"} <= found["manager_worker"]
    assert {"rollout", "segment", "credit", "suggest", "merge", "write", "gate"} <= found["optimizer"]
