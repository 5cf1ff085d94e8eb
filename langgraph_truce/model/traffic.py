"""Traffic: how a run behaves towards endpoints that are slow, busy or dead (contract 5).

One lane per endpoint (provider and model):

- **Width.** As many calls at once as the run wants, until the endpoint asks for fewer (429): then half of those in
  flight, or as many as it took where that is fewer. Each reply makes room again, as TCP does it: one more a round up
  to what was taken last, a tenth more a round beyond.
- **Pause.** After a 429 nobody asks until `Retry-After`; where the endpoint does not say, from the second cut without a
  reply between them, for an own back-off.
- **Breaker.** After a run of failures without one answer the endpoint counts as dead: calls wait, one at a time tries
  again at growing intervals, and the first answer lets all go on. Endpoints that answer 5xx must fail several callers:
  one poisoned request does not stop a run. What fails meanwhile uses up nobody's tries.
- **Tries.** A call that failed for the endpoint's sake is made again, after a back-off with seeded jitter.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from langgraph_truce.errors import EndpointDown, RunStopped, UserMistake
from langgraph_truce.model.door import Ended, Request
from langgraph_truce.model.failure import Failure, failure, retry_after, sentence
from langgraph_truce.seed import seeded

LIMITED = 3
"""A call that is told to come later (429) is made so many times as often as one that fails."""
GAIN = 0.1
"""Room that a reply makes where the endpoint has refused so many at once before; until there, 1/width."""
BROKEN = (
    "; if it answers other requests, a prompt of this run is what it breaks at, perhaps an edit that is being tried: give the "
    "same command with Run(patience=Patience(trip=1_000_000)), and such calls are excluded and count against the edit"
)
"""The way out where an endpoint answered, and nothing but server errors."""
CALLERS = 2
"""Callers whose requests must have failed before an endpoint that answers 5xx counts as dead."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a run tries. All times in seconds, > 0.

    Raises:
        UserMistake: a number out of range.
    """

    attempts: int = 3
    """Of one rollout that the infrastructure spoiled all the same, before it is excluded, >= 1."""
    tries: int = 5
    """Of one call whose endpoint failed, >= 1; those made while the endpoint counts as dead are not counted."""
    back_off: float = 0.5
    """Before the second try; doubled for every further one."""
    longest_back_off: float = 30.0
    trip: int = 8
    """Failures in a row, without one answer, after which an endpoint counts as dead, >= 1."""
    probe: float = 1.0
    """Before the first try of a dead endpoint; doubled for every further one."""
    longest_probe: float = 60.0
    longest_pause: float | None = 3600.0
    """A run waits this long for a dead endpoint, then it ends in good order; None: for ever."""

    def __post_init__(self) -> None:
        for name in ("back_off", "longest_back_off", "probe", "longest_probe", "longest_pause"):
            seconds = getattr(self, name)
            if seconds is not None and not 0 < seconds < math.inf:
                raise UserMistake(f"Patience({name}={seconds!r}): seconds above 0 are expected")
        for name in ("attempts", "tries", "trip"):
            if getattr(self, name) < 1:
                raise UserMistake(
                    f"Patience({name}={getattr(self, name)!r}): a whole number of at least 1 is expected"
                )

    def pause(self, tries: int, jitter: float) -> float:
        """Seconds before the try after `tries` failed ones: doubled each, times 0.5 + `jitter` in [0, 1)."""
        doubled = self.back_off * 2.0 ** min(tries - 1, 60)
        return min(self.longest_back_off, doubled) * (0.5 + jitter)


@dataclass(slots=True)
class _Lane:
    """What is known of one endpoint; times are of the monotonic clock."""

    name: str
    flying: int = 0
    width: float = math.inf
    """Calls that may be in flight at once."""
    cut: float = -math.inf
    """When it was cut last: refusals of calls begun earlier belong to that cut."""
    full: float = math.inf
    """Calls that were in flight then."""
    refused: int = 0
    """Of them."""
    taken: float = math.inf
    """As many of them as were not."""
    cuts: int = 0
    """Cuts since the last reply."""
    until: float = 0.0
    """Nobody asks before."""
    failures: int = 0
    """In a row, without an answer."""
    callers: set[str] = field(default_factory=set)
    """Whose requests these were."""
    silent: bool = False
    """True where one of them got no answer at all."""
    since: float | None = None
    """When it was found dead; None while it is not."""
    probe: Request | None = None
    """The call that tries a dead endpoint now."""
    probes: int = 0
    next_try: float = 0.0
    said: str = ""
    """Its last failure, in words."""


class Traffic:
    """A keeper of the door: see the module's description.

    Args:
        patience: Time limits and numbers of tries.
        call_timeout: Seconds one call may take, from being let through; None: any time.
        seed: Of the jitter.
        tell: Called with a sentence when the run pauses, tries again and goes on. Quick: it is called under the door's
            lock.
        stop: Called with the reason when a dead endpoint ends the run (`Door.stop`).
        clock: Seconds; monotonic.
    """

    def __init__(
        self,
        patience: Patience,
        *,
        call_timeout: float | None = None,
        seed: int = 0,
        tell: Callable[[str], None] | None = None,
        stop: Callable[[RunStopped], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.patience = patience
        self.call_timeout = call_timeout
        self._seed = seed
        self._tell = tell or _quiet
        self._stop = stop
        self._clock = clock
        self._lanes: dict[str, _Lane] = {}
        self._lock = threading.RLock()

    def wait(self, request: Request, *, patient: bool) -> float:
        """Seconds until this call may go; see `door.Keeper`.

        Raises:
            EndpointDown: the endpoint has been dead, or asks to be left alone, for longer than the run waits.
        """
        with self._lock:
            lane = self._lane(request)
            now = self._clock()
            self._end_if_lost(lane, now)
            if not patient:
                return 0.0
            if lane.since is not None:
                return math.inf if lane.probe is not None else max(0.0, self._due(lane) - now)
            if lane.until > now:
                return lane.until - now
            return 0.0 if lane.flying + 1 <= lane.width else math.inf

    def take(self, request: Request) -> None:
        """The call goes."""
        with self._lock:
            lane = self._lane(request)
            lane.flying += 1
            if lane.since is not None and lane.probe is None:
                lane.probe = request

    def give(self, request: Request, ended: Ended) -> None:
        """It ended: learn from how."""
        with self._lock:
            lane = self._lane(request)
            lane.flying -= 1
            probed = lane.probe is request
            if probed:
                lane.probe = None
            what = "" if ended.error is None else failure(ended.error, of_call=True)
            if isinstance(ended.error, Exception):
                lane.said = sentence(ended.error)
            if what == "limited":
                self._limited(lane, ended)
            elif what:
                self._failed(lane, request, what, ended.error, probed=probed)
            elif not isinstance(ended.error, BaseException) or isinstance(ended.error, Exception):
                self._answered(lane, in_full=ended.error is None)

    def again(
        self, request: Request, error: BaseException, tries: int, *, patient: bool
    ) -> tuple[int, float] | None:
        """What to do about a call that ended with `error`, its `tries`-th try.

        Args:
            request: the call.
            error: how it ended.
            tries: how often it was tried, this time included, >= 1.
            patient: the next try will wait at the door for as long as needed.

        Returns:
            (tries to count so far, seconds before the next one); None where it is not to be made again.
        """
        what = failure(error, of_call=True)
        if not what:
            return None
        with self._lock:
            lane = self._lane(request)
            now = self._clock()
            if lane.since is not None:
                return tries - 1, 0.0 if patient else max(0.0, lane.next_try - now)
            if tries >= self.patience.tries * (LIMITED if what == "limited" else 1):
                return None
            jitter = seeded(self._seed, "traffic", request.caller, tries).random()
            asked = retry_after(error) or 0.0
            return tries, max(self.patience.pause(tries, jitter), asked, 0.0 if patient else lane.until - now)

    def _lane(self, request: Request) -> _Lane:
        name = request.endpoint
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane(name)
        return lane

    def _limited(self, lane: _Lane, ended: Ended) -> None:
        """Too many calls: half of what was in flight, or what of it was not refused; and a pause where no reply comes."""
        assert ended.error is not None
        now = self._clock()
        self._revive(lane)
        if now - ended.seconds >= lane.cut:
            lane.full, lane.refused = min(lane.width, lane.flying + 1), 0
            lane.cut = now
            lane.cuts += 1
            if lane.cuts > 1:
                lane.until = max(lane.until, now + self.patience.pause(lane.cuts - 1, 0.5))
        lane.refused += 1
        lane.taken = max(1.0, lane.full - lane.refused)
        lane.width = min(lane.width, lane.taken, max(1.0, lane.full / 2))
        asked = retry_after(ended.error)
        if asked is not None:
            lane.until = max(lane.until, now + asked)
            if asked > (self.patience.longest_probe):
                self._tell(
                    f"{lane.name} asks to be left alone for {asked:.0f} s ({lane.said}); the run waits"
                )

    def _answered(self, lane: _Lane, *, in_full: bool) -> None:
        self._revive(lane)
        if in_full:
            lane.cuts = 0
            lane.width += 1.0 / lane.width if lane.width < lane.taken else GAIN

    def _revive(self, lane: _Lane) -> None:
        """It answered, whatever it said."""
        lane.failures, lane.silent = 0, False
        lane.callers.clear()
        if lane.since is not None:
            gone = self._clock() - lane.since
            lane.since, lane.probes = None, 0
            self._tell(f"{lane.name} answers again after {gone:.0f} s; the run goes on")

    def _failed(
        self, lane: _Lane, request: Request, what: Failure, error: BaseException | None, *, probed: bool
    ) -> None:
        """No usable answer: count, and close the lane when that goes on."""
        assert error is not None
        now = self._clock()
        lane.failures += 1
        lane.callers.add(request.caller)
        lane.silent = lane.silent or what == "unanswered"
        if lane.since is None:
            if lane.failures < self.patience.trip or not (lane.silent or len(lane.callers) >= CALLERS):
                return
            lane.since = now
        elif not probed:
            return
        if what == "account":
            self._end(
                f"{lane.name} refuses the account: {sentence(error)}; put key or credit right and give the same command "
                "again: it goes on from here"
            )
        interval = min(self.patience.longest_probe, self.patience.probe * 2.0 ** min(lane.probes, 60))
        lane.probes += 1
        asked = retry_after(error) or 0.0
        lane.next_try = now + max(interval, asked)
        since, again = (_at(t - now) for t in (lane.since, lane.next_try))
        self._tell(
            f"{lane.name} has not answered since {since} ({sentence(error)}); the run waits and tries again at {again}"
        )

    def _due(self, lane: _Lane) -> float:
        """When to look at a dead endpoint again: to try it, or to give it up."""
        assert lane.since is not None
        longest = self.patience.longest_pause
        return lane.next_try if longest is None else min(lane.next_try, lane.since + longest)

    def _end_if_lost(self, lane: _Lane, now: float) -> None:
        longest = self.patience.longest_pause
        if longest is None:
            return
        dead = lane.since is not None and now - lane.since >= longest and lane.probe is None
        if dead or lane.until - now > longest:
            what = "has not answered" if dead else "asks to be left alone"
            raise self._end(
                f"{lane.name} {what} for longer than {longest:g} s ({lane.said}); everything until now is kept: give the "
                "same command again when it is back, with a larger --longest-pause (Patience.longest_pause) to wait longer"
                f"{BROKEN if dead and not lane.silent else ''}"
            )

    def _end(self, words: str) -> EndpointDown:
        why = EndpointDown(words)
        if self._stop is not None:
            self._stop(why)
        return EndpointDown(words)  # one of its own: each gathers its own traceback


def _at(seconds: float) -> str:
    """Time of day, UTC, `seconds` from now."""
    return f"{datetime.now(UTC) + timedelta(seconds=seconds):%H:%M:%S} UTC"


def _quiet(words: str) -> None:
    """Nobody to tell."""
