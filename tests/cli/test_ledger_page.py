"""The page about the ledger: its commands are given in their order, and say what the page says they do."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from langgraph_truce.cli import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/ledger.md").read_text(encoding="utf-8")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00|reverted by \w+|applied by \w+")


def commands() -> list[tuple[list[str], list[str]]]:
    """Each command of the page, with the lines that it prints."""
    found: list[tuple[list[str], list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for part in re.split(r"^\$ ", block.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
            command, *lines = part.splitlines()
            found.append((shlex.split(command)[1:], lines))
    return found


def test_the_page_tells_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for words, lines in commands():
        done = CliRunner().invoke(app, words)
        said = STAMP.sub("", done.stdout + done.stderr)
        missing = [line for line in lines if STAMP.sub("", line) not in said]

        assert missing == [], (said, done.exception)
        if words[0] == "optimize":
            assert done.exit_code == 3
            file = Path("runs/shop/review/iteration-001.yaml")
            answered = file.read_text().replace("answer:\n", "answer: accept\n").replace('by: ""', "by: ann")
            file.write_text(answered)
            assert CliRunner().invoke(app, words).exit_code == 0
        else:
            assert done.exit_code == 0
    assert len(commands()) == 6
