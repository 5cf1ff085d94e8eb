"""A real loopback server that speaks OpenAI's chat protocol and misbehaves on demand."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from langchain_openai import ChatOpenAI


@dataclass(frozen=True, slots=True)
class Act:
    """What the server does with one request."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    """Before it answers."""
    reset: bool = False
    """Hang up without an answer."""
    text: str | None = None
    """The reply; None: the question in capital letters."""
    finish: str = "stop"
    """Why the reply ends."""


OK = Act()
Script = Callable[[str, int], Act]
"""(question, how many requests with this question came before) -> what to do."""


class OpenAIServer:
    """Serves on one port, which it keeps over `stop` and `start`."""

    def __init__(self, script: Script = lambda question, n: OK, at_once: int | None = None) -> None:
        self.script = script
        self.at_once = at_once
        """Requests it takes at a time; others get 429."""
        self.asked: list[str] = []
        """Questions, in order of arrival."""
        self.answered: list[str] = []
        """Questions that got a reply."""
        self.refused = 0
        """Requests beyond `at_once`."""
        self.flying = 0
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    def start(self) -> OpenAIServer:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"  # a connection each: none outlives its event loop

            def do_POST(self) -> None:
                outer._serve(self)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 256

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # clients that left

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def model(self, **settings: Any) -> ChatOpenAI:
        given: dict[str, Any] = {
            "model": "m",
            "base_url": f"http://127.0.0.1:{self.port}/v1",
            "api_key": "k",
            "max_retries": 0,
            "max_tokens": 64,
            **settings,
        }
        return ChatOpenAI(**given)

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        question = str(body["messages"][-1]["content"])
        with self._lock:
            before = self.asked.count(question)
            self.asked.append(question)
            full = self.at_once is not None and self.flying >= self.at_once
            self.refused += full
            self.flying += 1
        try:
            act = Act(429) if full else self.script(question, before)
            time.sleep(act.seconds)
            if act.reset or self._server is None:
                linger = struct.pack("ii", 1, 0)  # close sends RST
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                handler.close_connection = True
                handler.connection.close()
                return
            self._reply(handler, act, question, body)
        finally:
            with self._lock:
                self.flying -= 1

    def _reply(self, handler: BaseHTTPRequestHandler, act: Act, question: str, body: Any) -> None:
        text = question.upper() if act.text is None else act.text
        message = {"role": "assistant", "content": text}
        done: dict[str, Any] = {
            "id": "c",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": act.finish}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        }
        said = done if act.status == 200 else {"error": {"message": f"status {act.status}", "type": "x"}}
        data = json.dumps(said).encode()
        handler.send_response(act.status)
        for name, value in {"Content-Type": "application/json", **act.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)
        if act.status == 200:
            with self._lock:
                self.answered.append(question)
