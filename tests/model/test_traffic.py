"""How a run behaves towards endpoints: width, pauses, breaker and tries, with a clock that the test moves."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import openai
import pytest

from langgraph_truce.errors import EndpointDown, RunStopped, UserMistake
from langgraph_truce.model import Ended, Patience, Request, Traffic
from langgraph_truce.trajectory.step import Usage

HTTP = httpx2.Request("POST", "http://127.0.0.1/v1")
LOST = ConnectionResetError("gone")


def refused(code: int, **headers: str) -> openai.APIStatusError:
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    kind = openai.RateLimitError if code == 429 else openai.InternalServerError
    return kind(f"status {code}", response=httpx2.Response(code, request=HTTP, headers=named), body=None)


class Bench:
    """A traffic keeper, its clock, and what it said."""

    def __init__(self, **settings: Any) -> None:
        self.now = 1000.0
        self.said: list[str] = []
        self.stopped: list[RunStopped] = []
        self.traffic = Traffic(
            Patience(**settings), tell=self.said.append, stop=self.stopped.append, clock=lambda: self.now
        )
        self.count = 0

    def request(self, caller: str = "", model: str = "m") -> Request:
        self.count += 1
        return Request("task", "openai", model, caller=caller or f"r{self.count}")

    def wait(self, model: str = "m") -> float:
        return self.traffic.wait(self.request(model=model), patient=True)

    def take(self, n: int = 1, model: str = "m", caller: str = "") -> list[Request]:
        taken = [self.request(caller, model) for _ in range(n)]
        for request in taken:
            self.traffic.take(request)
        return taken

    def end(self, request: Request, error: BaseException | None = None, seconds: float = 0.1) -> None:
        self.traffic.give(request, Ended(Usage(), seconds, error))

    def fail(self, n: int, error: BaseException = LOST, caller: str = "", model: str = "m") -> None:
        for request in self.take(n, model, caller):
            self.end(request, error)


def test_nothing_waits_while_all_is_well() -> None:
    bench = Bench()
    bench.take(500)

    assert bench.wait() == 0.0


def room(bench: Bench) -> int:
    """Calls that may go now, one after the other."""
    before = bench.count
    while bench.wait() == 0.0:
        bench.take()
    return (bench.count - before) // 2


def test_a_429_leaves_half_of_what_is_in_flight_and_replies_make_room_again() -> None:
    bench = Bench()
    flying = bench.take(16)
    bench.now += 0.2
    for request in flying[:4]:
        bench.end(request, refused(429), seconds=0.2)
    for request in flying[4:8]:
        bench.end(request)
    assert bench.wait() == float("inf")  # eight are still in flight, and eight is the width

    for request in flying[8:]:
        bench.end(request)
    assert room(bench) == 9


def test_where_fewer_than_half_were_taken_so_many_are_sent() -> None:
    bench = Bench()
    flying = bench.take(100)
    bench.now += 0.2
    for request in flying[3:]:
        bench.end(request, refused(429), seconds=0.2)

    for request in flying[:3]:
        bench.end(request)
    assert room(bench) == 3


def test_retry_after_is_kept_by_all_calls_of_that_endpoint_and_by_no_other() -> None:
    bench = Bench()
    bench.fail(1, refused(429, retry_after="7"))

    assert bench.wait() == pytest.approx(7.0)
    assert bench.wait(model="other") == 0.0
    bench.now += 7
    assert bench.wait() == 0.0


def test_pauses_without_retry_after_grow_until_a_reply_comes() -> None:
    bench = Bench(back_off=1.0, longest_back_off=10)
    waits = []
    for _ in range(7):
        bench.fail(1, refused(429))
        waits.append(bench.wait())
        bench.now += waits[-1] + 0.2
    assert waits == pytest.approx([0, 1, 2, 4, 8, 10, 10])

    bench.end(bench.take()[0])
    bench.fail(1, refused(429))
    assert bench.wait() == 0.0


def test_a_dead_endpoint_is_tried_by_one_call_at_a_time_at_growing_intervals() -> None:
    bench = Bench(trip=4, probe=1.0, longest_probe=4.0)
    bench.fail(3)
    assert bench.wait() == 0.0
    bench.fail(1)
    assert bench.wait() == pytest.approx(1.0)
    assert "openai:m has not answered since" in bench.said[0]

    intervals = []
    for _ in range(4):
        bench.now += bench.wait()
        assert bench.wait() == 0.0
        (probe,) = bench.take()
        assert bench.wait() == float("inf")  # nobody else, while one tries
        bench.end(probe, LOST)
        intervals.append(bench.wait())
    assert intervals == pytest.approx([2, 4, 4, 4])

    bench.now += 4
    bench.end(bench.take()[0])
    assert bench.wait() == 0.0
    assert bench.said[-1] == "openai:m answers again after 15 s; the run goes on"
    assert len(bench.said) == 6


def test_an_answer_of_any_kind_says_that_the_endpoint_lives() -> None:
    for alive in (None, refused(429), ValueError("400: too long")):
        bench = Bench(trip=4)
        bench.fail(3)
        bench.end(bench.take()[0], alive)
        bench.fail(3)
        assert bench.said == []


def test_a_cancelled_call_says_nothing_and_hands_the_probe_on() -> None:
    bench = Bench(trip=1, probe=1.0)
    bench.fail(1)
    bench.now += 1
    (probe,) = bench.take()
    bench.end(probe, asyncio.CancelledError())

    assert bench.wait() == 0.0
    assert len(bench.said) == 1


def test_one_poisoned_request_does_not_close_an_endpoint_that_answers() -> None:
    bench = Bench(trip=3)
    bench.fail(10, refused(500), caller="the same rollout")
    assert bench.wait() == 0.0

    bench.fail(1, refused(500), caller="another")
    assert bench.wait() > 0


def test_endpoints_are_independent() -> None:
    bench = Bench(trip=2)
    bench.fail(2, model="dead")

    assert bench.wait(model="dead") > 0
    assert bench.wait(model="alive") == 0.0


def test_a_call_is_made_again_so_many_times_with_growing_pauses() -> None:
    bench = Bench(tries=4, back_off=1.0)
    request = bench.request("r")
    answers = [bench.traffic.again(request, LOST, n, patient=True) for n in (1, 2, 3, 4)]

    assert [a and a[0] for a in answers] == [1, 2, 3, None]
    for n, answer in enumerate(answers[:3]):
        assert answer is not None
        assert 0.5 * 2**n <= answer[1] <= 1.5 * 2**n
    assert answers == [bench.traffic.again(request, LOST, n, patient=True) for n in (1, 2, 3, 4)]
    assert bench.traffic.again(request, ValueError("400"), 1, patient=True) is None
    assert bench.traffic.again(request, refused(429), 11, patient=True) is not None
    assert bench.traffic.again(request, refused(429), 12, patient=True) is None
    asked = bench.traffic.again(request, refused(503, retry_after="9"), 1, patient=True)
    assert asked == (1, 9.0)


def test_tries_of_a_dead_endpoint_are_not_counted() -> None:
    bench = Bench(tries=2, trip=1, probe=3.0)
    request = bench.request("r")
    bench.fail(1)

    assert bench.traffic.again(request, LOST, 2, patient=True) == (1, 0.0)
    hurried = bench.traffic.again(request, LOST, 2, patient=False)
    assert hurried is not None
    assert hurried[1] == pytest.approx(3.0)


def test_the_run_ends_in_good_order_when_the_pause_is_too_long() -> None:
    bench = Bench(trip=1, probe=50.0, longest_pause=60.0)
    bench.fail(1)
    bench.now += 50
    bench.end(bench.take()[0], LOST)
    assert bench.wait() == pytest.approx(10.0)
    bench.now += 10

    with pytest.raises(
        EndpointDown, match=r"openai:m has not answered for longer than 60 s \(ConnectionResetError: gone"
    ):
        bench.wait()
    assert isinstance(bench.stopped[0], EndpointDown)
    assert bench.wait(model="other") == 0.0


def test_a_retry_after_beyond_the_longest_pause_ends_the_run() -> None:
    bench = Bench(longest_pause=60.0)
    bench.fail(1, refused(429, retry_after="86400"))

    with pytest.raises(EndpointDown, match="asks to be left alone for longer than 60 s"):
        bench.wait()


def test_a_key_that_is_refused_ends_the_run_at_once() -> None:
    bench = Bench(trip=3)
    bench.fail(3, refused(401))

    assert [type(why) for why in bench.stopped] == [EndpointDown]
    assert "refuses the account" in str(bench.stopped[0])


def test_callers_that_cannot_wait_go() -> None:
    bench = Bench(trip=1)
    bench.fail(1)

    assert bench.traffic.wait(bench.request(), patient=False) == 0.0


@pytest.mark.parametrize("setting", [{"tries": 0}, {"back_off": 0.0}, {"longest_pause": -1.0}, {"trip": 0}])
def test_numbers_out_of_range(setting: dict[str, Any]) -> None:
    with pytest.raises(UserMistake, match=next(iter(setting))):
        Patience(**setting)


@pytest.mark.parametrize("capacity", [1, 3, 10])
def test_an_endpoint_that_takes_few_at_a_time_is_neither_hammered_nor_idle(capacity: int) -> None:
    """A simulation: 64 callers, calls of one second, refusals in ten milliseconds."""
    bench = Bench(back_off=0.5)
    waiting, at = 400, 0
    ends: list[tuple[float, int, Request, Exception | None]] = []
    refusals, busy, began = 0, 0, bench.now
    while waiting or ends:
        while waiting and len(ends) < 64 and bench.wait() == 0.0:
            (request,) = bench.take()
            waiting -= 1
            taken = len([e for e in ends if e[3] is None]) < capacity
            at += 1
            ends.append((bench.now + (1.0 if taken else 0.01), at, request, None if taken else refused(429)))
        if not ends:
            bench.now += max(bench.wait(), 0.001)
            continue
        ends.sort(key=lambda e: e[:2])
        pause = bench.wait()
        if waiting and len(ends) < 64 and bench.now + pause < ends[0][0]:
            bench.now += pause
            continue
        ended, _, request, error = ends.pop(0)
        seconds = 0.01 if error else 1.0
        bench.now = max(bench.now, ended)
        bench.end(request, error, seconds)
        waiting += error is not None
        refusals += error is not None
        busy += int(error is None)
    assert busy == 400
    assert refusals - 64 < 400 * 0.5
    assert 400 / capacity / (bench.now - began) > 0.7  # of its rate
