"""A real `langgraph dev` server for tests, ended by its own process id."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

START = 90
"""Seconds the server may take to answer on a busy machine."""


def write_app(folder: Path, graphs: Mapping[str, str]) -> None:
    """`langgraph.json` and `pyproject.toml` of an application in `folder` that serves `graphs`."""
    (folder / "pyproject.toml").write_text('[project]\nname = "app"\nversion = "0"\n', encoding="utf-8")
    settings = {"dependencies": ["."], "graphs": dict(graphs), "env": {}}
    (folder / "langgraph.json").write_text(json.dumps(settings), encoding="utf-8")


@contextmanager
def dev_server(folder: Path, *options: str) -> Iterator[str]:
    """The address of a server over `folder/langgraph.json`, which keeps its state in `folder`; `options` of `langgraph dev`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("langgraph")),
        "dev",
        "--no-browser",
        "--no-reload",
        *options,
    ]
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
