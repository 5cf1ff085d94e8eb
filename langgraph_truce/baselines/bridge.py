"""Between a library that blocks its threads and a system that lives on an event loop: the loop stays the caller's own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig

from langgraph_truce.errors import ModelReplyError, TruceError
from langgraph_truce.model import Journal, JournalCallback
from langgraph_truce.optimizer.sealed import Sealed
from langgraph_truce.rollout.run import Runner
from langgraph_truce.rules import RuleBook
from langgraph_truce.seams import Rollout
from langgraph_truce.task import Task

T = TypeVar("T")
PURPOSE = "propose"
"""Column of the meter: what the prompt model is asked."""
_REMEMBERED = 64
"""Rollouts that what is held back for the sealed test is reckoned from."""


class Halt(BaseException):
    """Leaves a library that goes on after every `Exception`; the reason is the bridge's `why`."""


class Bridge:
    """What the library may do to the world: run a task, ask the prompt model. Every call is journalled and asks the door.

    Args:
        runner: of the system.
        model: the prompt model.
        journal: of the run.
        sealed: what is held back for the sealed test.
    """

    def __init__(self, runner: Runner, model: BaseChatModel, journal: Journal, sealed: Sealed) -> None:
        self.why: BaseException | None = None
        """Why nothing is done any more; None while it goes on."""
        self._runner = runner
        self._model = model
        # one for all questions: the n-th equal one is a call of its own, as the library asks for another sample by it
        self._callback = JournalCallback(journal, ("ask", PURPOSE), PURPOSE)
        self._sealed = sealed
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._open: set[Future[Any]] = set()
        self._running: dict[tuple[str, str], asyncio.Task[Rollout]] = {}
        self._ran: deque[Rollout] = deque(maxlen=_REMEMBERED)

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Bridge:
        return self  # the library copies its programs; there is one world

    def rollout(self, task: Task, book: RuleBook) -> Rollout:
        """Run `task` with `book`, from any thread but the loop's; what ran already is read.

        Raises:
            Halt: the run is to end; whatever went wrong here is none of the library's business.
        """
        try:
            return self._wait(lambda: self._once(task, book))
        except Exception as error:
            self.stop(error)
            raise Halt from error

    def ask(self, messages: Sequence[BaseMessage], temperature: float | None) -> AIMessage:
        """Ask the prompt model, from any thread but the loop's.

        Raises:
            Halt: the run is to end.
            Exception: what the model's client raises, where the run may go on without this reply.
        """
        try:
            return self._wait(lambda: self._asked(messages, temperature))
        except TruceError as error:
            if isinstance(error, ModelReplyError):
                raise
            self.stop(error)
            raise Halt from error

    def stop(self, why: BaseException) -> None:
        """Let nothing more be done; the first reason counts."""
        with self._lock:
            self.why = self.why or why
            waiting = tuple(self._open)
        for future in waiting:
            future.cancel()

    async def hosting(self, library: Callable[[], T]) -> T:
        """What `library` gives, run in a thread of its own; when this returns or raises, nothing of it goes on."""
        with ThreadPoolExecutor(1, "truce-baseline") as executor:
            ran = self._loop.run_in_executor(executor, library)
            try:
                return await asyncio.shield(ran)
            except BaseException as error:
                self.stop(error)
                raise
            finally:
                await asyncio.wait([ran])
                await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _wait(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        with self._lock:
            if self.why is not None:
                raise Halt
            # a context of its own: neither the caller's run nor the library's settings belong in there
            future = contextvars.Context().run(asyncio.run_coroutine_threadsafe, make(), self._loop)
            self._open.add(future)
        try:
            return future.result()
        except CancelledError as error:
            raise Halt from error
        finally:
            with self._lock:
                self._open.discard(future)

    async def _once(self, task: Task, book: RuleBook) -> Rollout:
        """The library may give one task to a second thread when the first one is slow: that one waits for the same run."""
        key = (book.version, task.id)
        if key not in self._running:
            running = asyncio.ensure_future(self._run(task, book))
            self._running[key] = running
            running.add_done_callback(lambda _: self._running.pop(key, None))
        return await self._running[key]

    async def _run(self, task: Task, book: RuleBook) -> Rollout:
        (rollout,) = await self._runner.run_all([task], book, purpose="task")
        if not rollout.outcome.excluded:
            self._ran.append(rollout)
            self._sealed.learn(self._ran)
        return rollout

    async def _asked(self, messages: Sequence[BaseMessage], temperature: float | None) -> AIMessage:
        config = RunnableConfig(callbacks=[self._callback])
        more: dict[str, Any] = {} if temperature is None else {"temperature": temperature}
        reply = await self._model.ainvoke(list(messages), config, **more)
        if not str(reply.text).strip():
            raise ModelReplyError("the prompt model said nothing")
        return reply
