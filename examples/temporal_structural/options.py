"""The command line of the experiment."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .experiment import ARMS, GATES, MIPRO
from .models import EMBEDDED
from .published import TOPOLOGIES
from .questions import SOURCES

SMALL: dict[str, Any] = {
    "model": EMBEDDED,
    "rounds": 2,
    "seeds": [0],
    "arms": ["both"],
    "topologies": ["debate"],
    "train": 3,
    "validation": 4,
    "test": 8,
    "turns": 1,
    "failures": 1,
    "noise": True,
    "critic_tokens": 256,
    "temperature": 0.0,
}
"""What `--small` changes: the whole method on the embedded model in 20 minutes, to see that it runs."""


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The options; `--small` sets other defaults, and what is given counts all the same."""
    parser = _parser()
    small, _ = parser.parse_known_args(given)
    if small.small:
        parser.set_defaults(**SMALL)
    return parser.parse_args(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.temporal_structural",
        description="Tables 1 and 2 of TSCA for a data set and a model, beside the published figures. "
        "The same command again goes on where it was stopped.",
    )
    _questions(parser.add_argument_group("questions"))
    _models(parser.add_argument_group("models"))
    _runs(parser.add_argument_group("runs"))
    budget = parser.add_argument_group("budget of each run")
    budget.add_argument("--budget-calls", type=int, metavar="N")
    budget.add_argument("--budget-tokens", type=int, metavar="N")
    budget.add_argument("--budget-usd", type=float, metavar="X")
    budget.add_argument("--budget-seconds", type=float, metavar="X")
    budget.add_argument(
        "--prices", type=Path, metavar="FILE", help="JSON or TOML: dollars per million tokens"
    )
    return parser


def _questions(group: Any) -> None:
    group.add_argument("--data", choices=sorted(SOURCES), default="aqua")
    group.add_argument(
        "--folder",
        type=Path,
        help="of the data set's files, for gpqa the CSV file; default: $TRUCE_DATA/NAME",
    )
    group.add_argument(
        "--train", type=int, default=50, metavar="N", help="questions that edits are proposed from"
    )
    group.add_argument(
        "--validation", type=int, default=50, metavar="N", help="questions that the gate decides on"
    )
    group.add_argument(
        "--test", type=int, metavar="N", help="test questions; default: all there are, at most 500"
    )
    group.add_argument("--split-seed", type=int, default=0, metavar="N", help="of the draw; fixed over runs")
    group.add_argument(
        "--rule",
        default="first_standalone",
        help="that reads an option from a reply (langgraph_truce.choices.RULES)",
    )
    group.add_argument(
        "--letters",
        default="",
        help="that are read: ABCD as in the paper; default: those of each question's options",
    )


def _models(group: Any) -> None:
    group.add_argument(
        "--model",
        default=EMBEDDED,
        help="of the agents: embedded, PROVIDER:NAME of init_chat_model, or FILE.py:NAME",
    )
    group.add_argument(
        "--critic", default="", help="judges, diagnoses, writes and proposes; default: the same model"
    )
    group.add_argument(
        "--base-url", default="", help="of an OpenAI-compatible server (vLLM); --model is then its name there"
    )
    group.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        help="of the agents (1 as in LLM-Debate and DyLAN); the critic has 0",
    )
    group.add_argument("--max-tokens", type=int, default=1024, metavar="N", help="longest reply of an agent")
    group.add_argument(
        "--critic-tokens", type=int, default=2048, metavar="N", help="longest reply of the critic"
    )


def _runs(group: Any) -> None:
    group.add_argument(
        "--small", action="store_true", help="other defaults: the whole method on the embedded model"
    )
    group.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    group.add_argument("--topologies", nargs="+", choices=TOPOLOGIES, default=list(TOPOLOGIES))
    group.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N")
    group.add_argument("--rounds", type=int, metavar="R", help="default: each topology's own, 2 and 3")
    group.add_argument(
        "--turns", type=int, default=5, metavar="K", help="outer iterations; two chances to edit in each"
    )
    group.add_argument(
        "--gate", choices=sorted(GATES), default="on_validation", help="on_validation is the paper's own"
    )
    group.add_argument(
        "--tau", type=float, default=0.5, help="credit below which a round's aggregator is edited"
    )
    group.add_argument(
        "--failures", type=int, default=5, metavar="M", help="informative failures that it takes"
    )
    group.add_argument(
        "--init", choices=[MIPRO], default="", help="begin with MIPROv2's rules, as the paper does"
    )
    group.add_argument("--mipro-trials", type=int, metavar="N", help="default: MIPROv2's auto='light'")
    group.add_argument(
        "--noise", action="store_true", help="measure the original system against itself first"
    )
    group.add_argument("--runs", type=Path, default=Path("runs/temporal_structural"), metavar="DIR")
