"""A LangGraph system as a `dspy.Module`: what MIPROv2 sees of it, and the search itself. Needs dspy: import it late.

The prompt model reads the source of `Program` as the code of the system, and every signature with its instructions.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import dspy
from dspy.utils.callback import BaseCallback

from langgraph_truce.baselines.bridge import Bridge, Halt
from langgraph_truce.baselines.dspy_model import Adapter, prompt_model
from langgraph_truce.baselines.quiet import quiet
from langgraph_truce.baselines.settings import split
from langgraph_truce.baselines.trials import Candidates, Trials
from langgraph_truce.batch import agents_of
from langgraph_truce.errors import ModelReplyError
from langgraph_truce.rules import RuleBook
from langgraph_truce.seams import Rollout
from langgraph_truce.task import Splits, Task
from langgraph_truce.trajectory.transcript import said

WHOLE = "eval_full"
"""How dspy marks an evaluation on all of its validation tasks."""


class Program(dspy.Module):
    """A system of several agents that work on a task together.

    Each predictor holds the instructions of one agent; the field that it writes is named after that agent. An agent
    sees the task and, as the system's graph has it, what others have said before.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.agents = [dspy.Predict(signature) for signature in world.signatures]
        self.world = world

    def forward(self, task: str) -> Any:
        """The agents work on the task, each with its instructions; gives the score of their answer, in [0, 1]."""
        return dspy.Prediction(score=self.world.run(task, self.agents))


class World:
    """What the program reaches: tasks by their text, agents by their place, and the bridge that runs them."""

    def __init__(self, bridge: Bridge, book: RuleBook, tasks: Sequence[Task]) -> None:
        self._bridge = bridge
        self._tasks = {shown(task.inputs): task for task in tasks}
        self._fields = {agent: f"reply_of_{name}" for agent, name in _identifiers(book).items()}
        self.signatures = [_signature(self._fields[agent], book.render(agent)) for agent in book.agents]
        # as dspy hands them back: it takes indents and empty lines at the ends away
        self.candidates = Candidates(book, [signature.instructions for signature in self.signatures])

    def __deepcopy__(self, memo: Mapping[int, Any]) -> World:
        return self  # dspy copies its programs; there is one world

    def run(self, text: str, agents: Sequence[Any]) -> float:
        """The score of the task with this text, run with the instructions of these predictors, in the order of the agents.

        Raises:
            Halt: the run is to end. dspy scores every `Exception` as 0 and goes on; nothing that goes wrong here is a score.
        """
        try:
            book = self.candidates.book([agent.signature.instructions for agent in agents])
            rollout = self._bridge.rollout(self._tasks[text], book)
            if dspy.settings.trace is not None:
                self._trace(agents, text, rollout)
        except Exception as error:
            self._bridge.stop(error)
            raise Halt from error
        return rollout.outcome.score

    def _trace(self, agents: Sequence[Any], text: str, rollout: Rollout) -> None:
        """Tell dspy what each agent said last: it shows that to the prompt model."""
        book = self.candidates.initial
        replies: dict[str, str] = {}
        for step in rollout.trajectory.steps:
            for agent in agents_of(book, step.role, step.round):
                replies[agent] = said(rollout.trajectory, step)
        for predictor, (agent, field) in zip(agents, self._fields.items(), strict=True):
            if agent in replies:
                reply = dspy.Prediction(**{field: _sendable(replies[agent])})
                dspy.settings.trace.append((predictor, {"task": text}, reply))


class _Listener(BaseCallback):
    """Hears of every evaluation of a candidate."""

    def __init__(self, trials: Trials) -> None:
        self._trials = trials
        self._begun: dict[str, tuple[tuple[str, ...], bool]] = {}

    def on_evaluate_start(self, call_id: str, instance: Any, inputs: Mapping[str, Any]) -> None:  # noqa: ARG002
        """A candidate is to be scored."""
        texts = tuple(agent.signature.instructions for agent in inputs["program"].agents)
        whole = (inputs.get("callback_metadata") or {}).get("metric_key") == WHOLE
        self._begun[call_id] = (texts, whole)

    def on_evaluate_end(self, call_id: str, outputs: Any, exception: Exception | None = None) -> None:
        """It was scored, or the run is to end."""
        texts, whole = self._begun.pop(call_id)
        if outputs is not None and exception is None:
            self._trials.add(texts, [float(score) for *_, score in outputs.results], whole=whole)


def search(
    bridge: Bridge, book: RuleBook, splits: Splits, chosen: Mapping[str, Any], seed: int, trials: Trials
) -> RuleBook | None:
    """MIPROv2's best book; None where the bridge said that the run is to end. Blocks: to be run in a thread.

    Args:
        bridge: to the system and the prompt model.
        book: the rules it starts from; one of its candidates always.
        splits: train tasks are shown to the prompt model, candidates are scored on validation.
        chosen: checked settings (`settings.checked`), with `num_threads`.
        seed: of every draw.
        trials: gets a line for every candidate that was scored, so that what was found so far outlives a stop.

    Raises:
        ModelReplyError: the prompt model gave nothing that MIPROv2 could go on with.
    """
    world = World(bridge, book, [*splits.train, *splits.validation])
    trials.candidates = world.candidates
    made, compiled = split(chosen)
    temperature = made.pop("init_temperature", None)
    model = prompt_model(bridge, temperature)
    sampled = {} if temperature is None else {"init_temperature": temperature}
    context = {"lm": model, "adapter": Adapter(), "callbacks": [_Listener(trials)], "disable_history": True}
    try:
        with quiet("dspy"), dspy.context(**context):
            optimizer = dspy.MIPROv2(
                metric=_metric,
                prompt_model=model,
                task_model=model,
                seed=seed,
                **made,
                **sampled,
                **_NO_DEMOS,
            )
            program, train, validation = Program(world), _examples(splits.train), _examples(splits.validation)
            try:
                found = optimizer.compile(program, trainset=train, valset=validation, **compiled)
            except Halt as halt:
                # its frames hold progress bars, which print when they go: here nobody sees it
                traceback.clear_frames(halt.__traceback__)
                return None
    except Exception as error:
        raise ModelReplyError(
            f"MIPROv2 (dspy {dspy.__version__}) could not go on: {type(error).__name__}: {error}"
        ) from error
    return world.candidates.book([agent.signature.instructions for agent in found.agents])


_NO_DEMOS = {"max_bootstrapped_demos": 0, "max_labeled_demos": 0}
"""Instructions only: a node of a graph has a place for instructions and none for demonstrations."""


def shown(values: Mapping[str, Any]) -> str:
    """Inputs or references as one text, which no provider refuses for its letters."""
    return _sendable(json.dumps(dict(values), ensure_ascii=False, default=str))


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _metric(example: Any, prediction: Any, trace: Any = None) -> float:  # noqa: ARG001 - dspy's signature
    return float(prediction["score"])


def _examples(tasks: Sequence[Task]) -> list[Any]:
    return [
        dspy.Example(task=shown(task.inputs), reference=shown(task.reference_outputs)).with_inputs("task")
        for task in tasks
    ]


def _signature(field: str, instructions: str) -> Any:
    fields = {"task": (str, dspy.InputField()), field: (str, dspy.OutputField())}
    made = dspy.Signature(fields, instructions, signature_name=field)
    # dspy shows the prompt model one signature of each name, and finds this one for all that are made at run time
    made.__pydantic_parent_namespace__ = {"signature_name": field}
    return made


def _identifiers(book: RuleBook) -> dict[str, str]:
    """Agents and the names that Python takes for them."""
    names: dict[str, str] = {}
    for agent in book.agents:
        name = re.sub(r"\W", "_", agent)
        while name in names.values():
            name += "_"
        names[agent] = name
    return names
