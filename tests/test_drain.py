"""Draining: nothing new goes through, what is in flight ends first; signals are touched only where they may be."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest

from langgraph_truce.drain import drain, drained_by_sigterm, heeding
from langgraph_truce.errors import Drained
from langgraph_truce.model import Door, Ended, Request
from langgraph_truce.trajectory.step import Usage

CALL = Request("task")


async def test_who_waits_is_refused_when_the_last_call_in_flight_has_ended() -> None:
    door = Door()
    with heeding(door):
        under_way = await door.aenter(CALL)
        await asyncio.to_thread(drain)
        waiting = asyncio.create_task(door.aenter(CALL))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        under_way.end(Ended(Usage(), 0.1))
        with pytest.raises(Drained, match="every finished model reply is kept"):
            await waiting
    with pytest.raises(Drained):
        await door.aenter(CALL)
    assert door.in_flight == 0


async def test_only_the_runs_that_go_on_are_drained() -> None:
    over, other = Door(), Door()
    with heeding(over):
        pass
    with heeding(other):
        drain()
    (await over.aenter(CALL)).end(Ended(Usage(), 0.1))
    with pytest.raises(Drained):
        await other.aenter(CALL)


def test_the_handler_is_put_back() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with drained_by_sigterm():
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_handler_of_the_program_and_other_threads_are_left_alone() -> None:
    seen: list[object] = []

    def mine(*_: object) -> None: ...

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with drained_by_sigterm():
            seen.append(signal.getsignal(signal.SIGTERM))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

        def elsewhere() -> None:
            with drained_by_sigterm():
                seen.append(signal.getsignal(signal.SIGTERM))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [mine, signal.SIG_DFL]
