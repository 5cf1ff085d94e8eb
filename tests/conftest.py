"""Shared set-up: no tracing, strict serialisation, and the real databases where they are."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["LANGSMITH_TRACING"] = "false"
os.environ["LANGSMITH_TRACING_V2"] = "false"
os.environ["LANGCHAIN_TRACING_V2"] = "false"
os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"

POSTGRES = os.environ.get("TRUCE_POSTGRES", "postgresql://root@127.0.0.1:5432/test")


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def need(available: bool, reason: str) -> None:
    """Skip with `reason` where something is missing; on CI that is a failure."""
    if available:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI must not skip: {reason}")
    pytest.skip(reason)


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """Address of a fresh PostgreSQL schema, dropped afterwards."""
    need(_listens("127.0.0.1", 5432), "no PostgreSQL at 127.0.0.1:5432")
    import psycopg

    schema = f"truce_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(POSTGRES, autocommit=True) as db:
        db.execute(f'CREATE SCHEMA "{schema}"')
    try:
        yield f"{POSTGRES}?options=-csearch_path%3D{schema}"
    finally:
        with psycopg.connect(POSTGRES, autocommit=True) as db:
            db.execute(f'DROP SCHEMA "{schema}" CASCADE')


@pytest.fixture
def truce_data() -> Path:
    """Folder of the benchmark data, `$TRUCE_DATA`."""
    folder = os.environ.get("TRUCE_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("benchmark data not found; set TRUCE_DATA to its folder")
    return Path(folder)
