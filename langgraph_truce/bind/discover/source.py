"""What the code of a node tells without running it: prompts that it holds, and clients that no callback reaches."""

from __future__ import annotations

import ast
import dis
import functools
import inspect
import itertools
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.prompts import (
    BaseChatPromptTemplate,
    BasePromptTemplate,
    ChatPromptTemplate,
    PromptTemplate,
)
from langchain_core.runnables import (
    Runnable,
    RunnableAssign,
    RunnableBinding,
    RunnableBranch,
    RunnableParallel,
    RunnableSequence,
    RunnableWithFallbacks,
)
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel

from langgraph_truce.bind.discover.cluster import words
from langgraph_truce.bind.discover.fields import identifier
from langgraph_truce.bind.discover.known import ITEMS

CLIENTS = (
    "openai",
    "anthropic",
    "google.genai",
    "google.generativeai",
    "vertexai",
    "litellm",
    "mistralai",
    "cohere",
    "groq",
    "together",
    "ollama",
    "boto3",
    "botocore",
    "huggingface_hub",
    "replicate",
)
"""Packages whose calls go to a model past LangChain."""
LIBRARIES = ("langchain", "langgraph", "pydantic", "typing", "asyncio", "functools")
"""Packages whose functions are looked into for what they enclose, not for what they refer to."""
CONTENT = ("text", "content", "value")
"""Attributes that say less than the name of what has them."""
HELD = (str, BaseMessage, BasePromptTemplate)
"""What is read off the instances of libraries: the prompts that middleware was given."""
LEVELS = 3
"""Functions called by functions that are looked into."""
MOST = 20_000
"""Objects of one node that are looked at: its code may name a table of data."""
PROMPT_WORDS = 5
"""Words and characters of a text in the code that looks like a prompt."""
PROMPT_CHARACTERS = 30

_COMPOSED: Mapping[type, Callable[[Any], Iterable[Any]]] = {
    RunnableSequence: lambda found: found.steps,
    RunnableParallel: lambda found: found.steps__.values(),
    RunnableBranch: lambda found: [*itertools.chain(*found.branches), found.default],
    RunnableWithFallbacks: lambda found: found.runnables,
    RunnableAssign: lambda found: [found.mapper],
    RunnableBinding: lambda found: [found.bound],
}
"""Kind of runnable -> what it is made of."""


@dataclass(frozen=True, slots=True)
class CodeText:
    """A text in the code that looks like a prompt, with `{name}` where the code puts a value in."""

    text: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """What one node's code holds."""

    texts: tuple[CodeText, ...] = ()
    clients: tuple[str, ...] = ()
    """Names of packages in `CLIENTS` that it refers to."""
    constants: frozenset[str] = frozenset()
    """Every text that is written down in it, also short ones."""
    short: tuple[CodeText, ...] = ()
    """Templates that do not look like a prompt by themselves, but may be one where they are sent."""


def sources(graph: Pregel[Any, Any, Any, Any]) -> Mapping[str, Source]:
    """Role path -> what the node's code holds; for every node of the graph and of the subgraphs it shows."""
    return {role: _source(bound) for role, bound in _with_edges(graph).items()}


def nodes_of(graph: Pregel[Any, Any, Any, Any]) -> tuple[str, ...]:
    """Role path of every node; a node that is a subgraph is there with its own nodes as well."""
    return tuple(role for role in _with_edges(graph) if not role.rpartition("/")[2].startswith("__"))


def _with_edges(graph: Pregel[Any, Any, Any, Any]) -> dict[str, list[Any]]:
    """Role path -> what the node runs, and the functions on its conditional edges, which run as part of it."""
    out: dict[str, list[Any]] = {}
    for place, inner in [("", graph), *graph.get_subgraphs(recurse=True)]:
        if isinstance(inner, Pregel):  # else a remote graph as a node: its nodes run elsewhere
            above = f"{place.replace('|', '/')}/" if place else ""
            out |= {above + name: parts for name, parts in _own_nodes(inner).items()}
    return out


def _own_nodes(graph: Pregel[Any, Any, Any, Any]) -> dict[str, list[Any]]:
    edges = getattr(getattr(graph, "builder", None), "branches", {})
    return {
        name: [node.bound, *(branch.path for branch in edges.get(name, {}).values())]
        for name, node in graph.nodes.items()
    }


def _source(bound: list[Any]) -> Source:
    texts: dict[CodeText, None] = {}
    clients: dict[str, None] = {}
    for found in _reachable(bound):
        if (client := _client(found)) is not None:
            clients[client] = None
        elif isinstance(found, types.FunctionType) and not _library(found.__module__):
            texts.update(dict.fromkeys(_in_code(found)))
            clients.update(dict.fromkeys(_imported(found.__code__)))
        else:
            texts.update(dict.fromkeys(_held(found)))
    whole = [t for t in texts if _like_a_prompt(t)]
    constants = frozenset(t.text for t in texts if not t.fields)
    return Source(
        tuple(whole), tuple(clients), constants, tuple(t for t in texts if t.fields and not _like_a_prompt(t))
    )


def _reachable(roots: Sequence[Any]) -> Iterator[Any]:
    """`roots`, what they enclose and what their code names, each once; clients are not looked into."""
    waiting = deque((root, 0) for root in roots)
    seen: dict[int, Any] = {}  # the objects themselves are kept, so that no id is given twice
    while waiting and len(seen) < MOST:
        found, level = waiting.popleft()
        if id(found) in seen:
            continue
        seen[id(found)] = found
        yield found
        if isinstance(found, Pregel):  # called inside a function: its nodes count like this one
            waiting += [(part, 0) for parts in _own_nodes(found).values() for part in parts]
        elif level <= LEVELS and _client(found) is None:
            below = level if isinstance(found, (*_COMPOSED, types.MethodType)) else level + 1
            waiting += [(part, below) for part in _parts(found)]


def _parts(found: Any) -> list[Any]:
    """What is looked into next: what a function encloses and refers to, what a runnable is made of."""
    if isinstance(found, types.FunctionType):
        return [*_enclosed(found), *([] if _library(found.__module__) else _referred(found))]
    if isinstance(found, types.MethodType):
        own = getattr(found.__self__, "__dict__", {}).values()
        library = _library(type(found.__self__).__module__)
        return [found.__func__, *(part for part in own if not library or isinstance(part, HELD))]
    if isinstance(found, functools.partial):
        return [found.func, *found.args, *found.keywords.values()]
    if isinstance(found, list | tuple):
        return list(found[:ITEMS])
    if isinstance(found, dict):
        return list(itertools.islice(found.values(), ITEMS))
    if (
        callable(found)
        and isinstance(found.__call__, types.MethodType)
        and not _library(type(found).__module__)
    ):
        return [found.__call__]  # an object as a node
    return _parts_of_runnable(found)


def _parts_of_runnable(found: Any) -> list[Any]:
    if isinstance(found, BaseTool):
        return [getattr(found, "func", None), getattr(found, "coroutine", None), found._run, found._arun]
    if isinstance(found, ToolNode):
        return list(found.tools_by_name.values())
    for kind, parts in _COMPOSED.items():
        if isinstance(found, kind):
            return list(parts(found))
    if isinstance(found, Runnable) or type(found).__module__.startswith("langgraph."):
        # a lambda, LangGraph's wrapper of a node function, a @task
        return [getattr(found, "func", None), getattr(found, "afunc", None)]
    return []


def _enclosed(function: types.FunctionType) -> list[Any]:
    out = [function.__wrapped__] if hasattr(function, "__wrapped__") else []
    for cell in function.__closure__ or ():
        try:
            out.append(cell.cell_contents)
        except ValueError:  # an empty cell: the name is not bound yet
            continue
    return out


def _referred(function: types.FunctionType) -> list[Any]:
    """Values of the global names in the code, and of the names it reads from modules."""
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    out = [function.__globals__[name] for name in sorted(names) if name in function.__globals__]
    for module in [m for m in out if isinstance(m, types.ModuleType) and not _library(m.__name__)]:
        out += [vars(module)[name] for name in sorted(names) if name in vars(module)]
    return out


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _imported(code: types.CodeType) -> Iterator[str]:
    for one in _codes(code):
        for instruction in dis.get_instructions(one):
            if instruction.opname == "IMPORT_NAME" and (name := _named_client(str(instruction.argval))):
                yield name


def _client(found: Any) -> str | None:
    """The package of a client, of one of its functions, or of its module."""
    if isinstance(found, types.ModuleType):
        return _named_client(found.__name__)
    if isinstance(found, types.FunctionType | type):
        return _named_client(found.__module__)
    return _named_client(type(found).__module__)


def _named_client(module: str | None) -> str | None:
    return next((c for c in CLIENTS if module == c or (module or "").startswith(f"{c}.")), None)


def _library(module: str | None) -> bool:
    return (module or "").partition(".")[0].partition("_")[0] in LIBRARIES and module != "langgraph_truce"


def _held(found: Any) -> Iterator[CodeText]:
    """Texts that are values: constants, messages, templates."""
    if isinstance(found, str):
        yield _formatted(found)
    elif isinstance(found, BaseMessage):
        yield CodeText(found.text)
    elif isinstance(found, PromptTemplate):
        yield _formatted(found.template)
    elif isinstance(found, ChatPromptTemplate):
        for message in found.messages:
            inner = getattr(message, "prompt", message)
            for part in inner if isinstance(inner, list) else [inner]:
                if not isinstance(part, BaseChatPromptTemplate):
                    yield from _held(part)


def _in_code(function: types.FunctionType) -> Iterator[CodeText]:
    """Texts in the source of a function: constants, f-strings and texts put together with `+`; docstrings left out."""
    try:
        tree = _parsed(inspect.getsource(function))
    except (OSError, SyntaxError, TypeError):  # no source, or a lambda inside an expression
        yield from (
            _formatted(c) for code in _codes(function.__code__) for c in code.co_consts if isinstance(c, str)
        )
        return
    done = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):  # from the outside in
        if id(node) in done:
            continue
        parts = _put_together(node)
        if any(isinstance(part, ast.expr) for part in parts):
            done |= {id(part) for part in _of_one_text(node)}
            yield _f_string(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield _formatted(node.value)


def _parsed(source: str) -> ast.AST:
    """The code of a function that may stand inside another one, and hold texts that begin at the margin."""
    return ast.parse(f"if True:\n{source}" if source[:1].isspace() else source)


def _put_together(node: ast.AST) -> list[str | ast.expr]:
    """The fixed parts and the values of an f-string, or of texts joined by `+`; empty where it is neither."""
    if isinstance(node, ast.JoinedStr):
        return [
            part.value if isinstance(part, ast.FormattedValue) else str(part.value)
            for part in node.values
            if isinstance(part, ast.FormattedValue | ast.Constant)
        ]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [_side(node.left), _side(node.right)]
        return [*sides[0], *sides[1]] if any(isinstance(p, str) for side in sides for p in side) else []
    return []


def _side(node: ast.expr) -> list[str | ast.expr]:
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else [node]
    return _put_together(node) or [node]


def _of_one_text(node: ast.AST) -> Iterator[ast.AST]:
    """`node` and the parts of it that are said with it; what stands inside its values is a text of its own."""
    yield node
    if isinstance(node, ast.JoinedStr):
        yield from (part for part in node.values if isinstance(part, ast.Constant))
        specs = [part.format_spec for part in node.values if isinstance(part, ast.FormattedValue)]
        yield from (inner for spec in specs if spec is not None for inner in ast.walk(spec))
    elif isinstance(node, ast.BinOp):
        for side in (node.left, node.right):
            if isinstance(side, ast.Constant) or _put_together(side):
                yield from _of_one_text(side)


def _f_string(parts: Sequence[str | ast.expr]) -> CodeText:
    """As a template: one field for values that stand side by side, one name for one expression."""
    pieces: list[str] = []
    names: dict[str, str] = {}
    for text, group in itertools.groupby(parts, key=lambda part: isinstance(part, str)):
        if text:
            pieces += [str(part) for part in group]
            continue
        values = [part for part in group if isinstance(part, ast.expr)]
        code = " ".join(map(ast.dump, values))
        if code not in names:
            names[code] = _not_in(
                names.values(), "_".join(filter(None, map(_spoken, values))), len(names) + 1
            )
        pieces.append(f"{{{names[code]}}}")
    return CodeText("".join(pieces), tuple(names.values()))


def _not_in(taken: Iterable[str], name: str, number: int) -> str:
    if not name:
        return f"field_{number}"
    numbered = itertools.chain([name], (f"{name}_{n}" for n in itertools.count(2)))
    return next(n for n in numbered if n not in taken)


def _spoken(value: ast.expr) -> str:
    """The name that an expression is about: `question` in `state["question"]`, `state.question` and `question.upper()`."""
    if isinstance(value, ast.Name):
        return value.id
    if isinstance(value, ast.Attribute):
        return (value.attr in CONTENT and _spoken(value.value)) or value.attr
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant):
        named = isinstance(value.slice.value, str)
        return identifier(str(value.slice.value)) if named else _spoken(value.value)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        return _spoken(value.func.value) or next(map(_spoken, value.args), "")  # of "".join(notes): notes
    return ""


def _formatted(text: str) -> CodeText:
    """A `str.format` template with its fields; any other text as it is."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError:  # braces that are no template
        return CodeText(text)
    names = [name for _, name, _, _ in parts if name is not None]
    if not names or not all(name.isidentifier() for name in names):
        return CodeText(text)
    whole = "".join(literal + (f"{{{name}}}" if name is not None else "") for literal, name, _, _ in parts)
    return CodeText(whole, tuple(dict.fromkeys(names)))


def _like_a_prompt(found: CodeText) -> bool:
    return len(found.text) >= PROMPT_CHARACTERS and words([found.text]) >= PROMPT_WORDS
