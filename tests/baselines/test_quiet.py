"""One thread is silent, the others are not, and everything is back afterwards."""

from __future__ import annotations

import io
import logging
import sys
import threading

import pytest

from langgraph_truce.baselines.quiet import quiet


def test_only_the_silent_thread_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    inside, spoken = threading.Event(), threading.Event()

    def silent() -> None:
        with quiet("nobody"):
            inside.set()
            print("bootstrapping")
            print("\r 50%|#####", end="", file=sys.stderr)
            print("a real error", file=sys.stderr)
            spoken.wait(5)

    thread = threading.Thread(target=silent)
    thread.start()
    inside.wait(5)
    print("the user's own words")
    spoken.set()
    thread.join()

    shown = capsys.readouterr()
    assert shown.out == "the user's own words\n"
    assert shown.err.strip() == "a real error"


def test_streams_and_levels_are_back_when_the_last_one_leaves(capsys: pytest.CaptureFixture[str]) -> None:
    streams = (sys.stdout, sys.stderr)
    logger = logging.getLogger("truce-quiet-test")
    logger.setLevel(logging.INFO)
    inside, alone = threading.Event(), threading.Event()
    levels: list[int] = []

    def last() -> None:
        with quiet(logger.name):
            inside.set()
            alone.wait(5)
            print("unheard")
            levels.append(logger.level)

    thread = threading.Thread(target=last)
    with quiet(logger.name):
        thread.start()
        inside.wait(5)
    print("heard")
    alone.set()
    thread.join()

    assert levels == [logging.ERROR]
    assert (sys.stdout, sys.stderr) == streams
    assert logger.level == logging.INFO
    assert capsys.readouterr().out == "heard\n"


def test_a_stream_that_somebody_put_on_top_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = io.StringIO()
    with quiet("nobody"):
        monkeypatch.setattr(sys, "stdout", theirs)

    assert sys.stdout is theirs
