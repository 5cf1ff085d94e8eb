"""What `FILE.py:NAME` and `package.module:NAME` on the command line stand for."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from langgraph_truce.errors import SystemMismatch, UnknownNameError, UserMistake

if TYPE_CHECKING:
    from langgraph.pregel.remote import RemoteGraph

    from langgraph_truce.rules import RuleBook
    from langgraph_truce.system import System

Settings = Callable[[Any], Mapping[str, Any]]
"""A graph or System -> fields of the System."""


def load(target: str) -> Any:
    """The object that `target` names; a folder with an `__init__.py` is a file as well.

    A file's folder joins `sys.path`, so that it can import its neighbours; a file inside a package is imported as
    part of it, so that relative imports work.

    Raises:
        UserMistake: not of the form `FILE.py:NAME`, no such file, or importing it failed.
        UnknownNameError: the module has no such name; the message lists those it has.
    """
    where, colon, name = target.rpartition(":")
    if not colon or not where or not name:
        raise UserMistake(f"{target!r} names no object; write FILE.py:NAME or package.module:NAME")
    inside = Path(where) / "__init__.py"
    file = inside if inside.is_file() else Path(where)
    module = _file(file) if file.suffix == ".py" else _module(where)
    if not hasattr(module, name):
        there = ", ".join(n for n in vars(module) if not n.startswith("_")) or "nothing"
        raise UnknownNameError(f"{where} has no {name!r}; it has: {there}")
    return getattr(module, name)


def system(
    target: str,
    *,
    rules: Path | None = None,
    aggregator: str = "",
    examples: Sequence[Mapping[str, Any]] = (),
    kept: Path | None = None,
    settings: Settings | None = None,
) -> System:
    """The system that `target` names: a `System`, a compiled graph, or a function that makes one.

    Args:
        target: `FILE.py:NAME` or `package.module:NAME`.
        rules: Folder of rule files; where discovered prompts lie beside them, they are what is replaced.
        aggregator: Node that closes a round.
        examples: Task inputs; a graph without `rules` is run on them once, and its prompts are found.
        kept: Folder in which the prompts found are kept; found there, nothing is run.
        settings: The graph or System found -> fields of the System that the options name.

    Raises:
        UserMistake: it is none of these, or a graph with neither `rules` nor `examples`.
        SystemMismatch: graph and rules do not fit together, or no prompt was found.
        RuleFileError: a rule file or the discovered prompts beside it are broken.
    """
    from langgraph.pregel.remote import RemoteGraph

    from langgraph_truce.bind.discover import read_prompts
    from langgraph_truce.system import System

    found = graph_or_system(target)
    own = dict(settings(found)) if settings else {}
    if aggregator:
        own["aggregator"] = aggregator
    if rules is None and isinstance(found, System):
        return replace(found, **own)
    if rules is None and isinstance(found, RemoteGraph):
        return System(found, _blank(found), **own)
    if rules is None:
        return _discovered(found, target, own, examples, kept)
    prompts = read_prompts(rules)
    if isinstance(found, System):
        return replace(found, rules=rules, prompts=found.prompts or prompts, **own)
    return System(found, rules, prompts=prompts, **own)


def graph_or_system(target: str) -> Any:
    """The `System` or compiled graph that `target` names; a function without arguments is called.

    Raises:
        UserMistake: it is neither.
    """
    from langgraph.pregel import Pregel
    from langgraph.pregel.remote import RemoteGraph

    from langgraph_truce.system import System

    found = load(target)
    if (
        not isinstance(found, System | Pregel | RemoteGraph)
        and callable(found)
        and not hasattr(found, "compile")
    ):
        found = _made(found, target)
    if isinstance(found, System | Pregel | RemoteGraph):
        return found
    hint = "; call .compile() on it" if hasattr(found, "compile") else ""
    raise UserMistake(
        f"{target} is a {type(found).__name__}; it must be a System, a compiled graph, or a function that makes one{hint}"
    )


def discovered(target: str, examples: Sequence[Mapping[str, Any]]) -> System:
    """The system that `target` names with the prompts in its code, found by running `examples`.

    Raises:
        SystemMismatch: no prompt was found.
    """
    from langgraph_truce.system import System

    found = graph_or_system(target)
    if not isinstance(found, System):
        return System.discover(found, examples)
    kept = ("inputs", "outputs", "context", "interrupts", "aggregator", "name", "timeout", "tools")
    return System.discover(found.graph, examples, **{name: getattr(found, name) for name in kept})


def _blank(graph: RemoteGraph) -> RuleBook:
    """Every node without a rule: what a server's prompts say cannot be seen from here, and evaluation needs none.

    Raises:
        SystemMismatch: the server does not tell its graph.
    """
    from langgraph_truce.rules import AgentRules, RuleBook

    try:
        nodes = list(graph.get_graph().nodes)
    except Exception as failed:
        raise SystemMismatch(
            f"the server of RemoteGraph {graph.name!r} does not tell its graph ({type(failed).__name__}: {failed}); check "
            "that it runs and that RemoteGraph(url=...) is its address"
        ) from failed
    return RuleBook({name: AgentRules(name, ()) for name in nodes if not name.startswith("__")})


def _discovered(
    graph: Any, target: str, own: Mapping[str, Any], examples: Sequence[Mapping[str, Any]], kept: Path | None
) -> System:
    """The graph's prompts as kept, or found by running the examples; the report goes to stderr."""
    from langgraph_truce.bind.discover import read_prompts, write_prompts
    from langgraph_truce.system import System

    if kept is not None and (prompts := read_prompts(kept)) is not None:
        return System(graph, prompts.book, prompts=prompts, **own)
    if not examples:
        raise UserMistake(
            f"{target} is a compiled graph; say where its rules are with --rules DIR, or have its prompts found with: "
            f"langgraph-truce rules discover {target} --examples TASKS.jsonl --out DIR"
        )
    system = System.discover(graph, examples, **own)
    assert system.discovery is not None
    assert system.prompts is not None
    sys.stderr.write(system.discovery.text(short=True))
    if kept is not None:
        write_prompts(system.prompts, kept)
    return system


def evaluator(name: str) -> Any:
    """The evaluator that `name` stands for: `FILE.py:NAME`, or a ready one.

    Raises:
        UserMistake: see `load`.
        UnknownNameError: no ready evaluator of that name.
    """
    if ":" in name:
        return load(name)
    from langgraph_truce import evaluators

    return evaluators.load(name)


def model(name: str) -> Any:
    """The chat model that `name` stands for: 'embedded', `FILE.py:NAME`, or a LangChain name; None for "".

    Raises:
        UserMistake: no model of that name can be made.
        MissingExtra: the embedded model, or `langchain` for names of providers, is not installed.
    """
    if not name:
        return None
    if ".py:" in name:
        return load(name)
    from langgraph_truce.model import resolve_model

    return resolve_model(name)


def _made(factory: Callable[..., Any], target: str) -> Any:
    needed = [
        p.name
        for p in inspect.signature(factory).parameters.values()
        if p.default is p.empty and p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}
    ]
    if needed:
        raise UserMistake(
            f"{target} needs {', '.join(needed)}; name a function that can be called without arguments"
        )
    try:
        return factory()
    except Exception as e:
        raise UserMistake(f"{target}() raised {type(e).__name__}: {e}") from e


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserMistake(f"{path}: no such file; give FILE.py:NAME with the path from {Path.cwd()}")
    path = path.resolve()
    root, parts = path.parent, [] if path.name == "__init__.py" else [path.stem]
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    name = ".".join(parts)
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    try:
        if path.parent != root:
            return importlib.import_module(name)
        # `app.py` may be the name of another module already
        from langgraph_truce.rules.rule import content_hash

        name = name if known is None else f"{name}_{content_hash(str(path))}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except Exception as e:
        sys.modules.pop(name, None)
        raise UserMistake(f"{path}: importing it raised {type(e).__name__}: {e}") from e
    return module


def _module(name: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except Exception as e:
        raise UserMistake(f"module {name!r}: importing it raised {type(e).__name__}: {e}") from e
