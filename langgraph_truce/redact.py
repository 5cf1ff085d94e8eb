"""Secrets stay out of what is kept: keys, tokens and passwords in texts are masked before anything is written.

What is masked, in this order: the values of environment variables whose names say that they are secrets; what looks like
a key, token or password by its form; and what the user's own `Run.redact` takes out. Masking twice changes nothing more,
so a masked text read back and masked again names the same call in the journal.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

import ormsgpack
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph_truce.errors import UserMistake

MASK = "[redacted]"
"""Stands for a secret."""
LEAST = 12
"""Characters that the value of a variable must have to be masked wherever it occurs: shorter ones stand in common texts."""
_NAMED = re.compile(
    r"(?:^|_)(?:api_?key|key|token|secret|passw(?:or)?d|pw|pass|pat|credentials?|auth|dsn|(?:database|db|redis|postgres\w*)_ur[il])s?(?:_|$)",
    re.IGNORECASE,
)
_PLAIN = re.compile(r"[\w.-]*/[\w./~-]*|true|false|none|[a-z_-]+", re.IGNORECASE)
"""Values that are paths, switches or single words, whatever their variable is called."""


@dataclass(frozen=True, slots=True)
class _Form:
    """One kind of secret: the group `s` of the pattern, or all of it."""

    needs: tuple[str, ...]
    """Literals of which one stands in every match: looked for first, because that is a hundred times faster."""
    pattern: re.Pattern[str]
    fold: bool = False
    """`needs` are looked for in lower case."""
    begins: bool = False
    """`needs` stand at the beginning of a word: `sk-` does not stand in `task-1`."""

    def near(self, text: str, low: str) -> bool:
        """False where no match can be."""
        looked = low if self.fold else text
        # a loop, not `any`: this runs for every text that is kept
        for literal in self.needs:
            if literal in looked and (not self.begins or _begins(looked, literal)):
                return True
        return False

    def mask(self, text: str, low: str, hide: Callable[[str], str]) -> str:
        return self.pattern.sub(lambda m: _within(m, hide), text) if self.near(text, low) else text


def _begins(text: str, literal: str) -> bool:
    """True where `literal` stands somewhere behind no ASCII letter or digit."""
    at = text.find(literal)
    while at > 0 and text[at - 1].isascii() and text[at - 1].isalnum():
        at = text.find(literal, at + 1)
    return at >= 0


def _within(match: re.Match[str], hide: Callable[[str], str]) -> str:
    if "s" not in match.re.groupindex:
        return hide(match[0])
    whole, start = match[0], match.start()
    return whole[: match.start("s") - start] + hide(match["s"]) + whole[match.end("s") - start :]


# A word that is a key begins where no word goes on, and has a digit: `sk-learn-like-names` have none.
_PREFIXED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:sk|pk|rk)[-_](?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"
    r"|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}"
    r"|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,}"
    r"|xox[abeprs]-(?=[A-Za-z-]*[0-9])[A-Za-z0-9-]{10,}|hf_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{40,}|xai-[A-Za-z0-9]{40,}"
    r"|pplx-[A-Za-z0-9]{40,}|lsv2_(?:pt|sk)_[A-Za-z0-9_]{32,}|tvly-(?=[A-Za-z-]*[0-9])[A-Za-z0-9-]{20,}"
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|npm_[A-Za-z0-9]{36}|dop_v1_[a-f0-9]{64}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"  # JSON web token
    r")"
)
_PREFIXES = (
    *(
        "sk-",
        "sk_",
        "pk_",
        "pk-",
        "rk_",
        "rk-",
        "AKIA",
        "ASIA",
        "AIza",
        "ya29.",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
    ),
    *(
        "ghr_",
        "github_pat_",
        "glpat-",
        "xox",
        "hf_",
        "gsk_",
        "xai-",
        "pplx-",
        "lsv2_",
        "tvly-",
        "SG.",
        "npm_",
    ),
    *("dop_v1_", "eyJ"),
)
_LABELS = (
    *(a + b + "key" for a in ("api", "secret", "access") for b in ("_", "-", "")),
    *("client" + b + "secret" for b in ("_", "-", "")),
    *(a + b + "token" for a in ("access", "auth", "refresh") for b in ("_", "-", "")),
    *("password", "passwd"),
)
_FORMS = (
    _Form(_PREFIXES, _PREFIXED, begins=True),
    _Form(
        ("PRIVATE KEY",),
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?:[A-Za-z0-9+/=\s:,.-]|\\+[nr])*?"
            r"(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|(?=[^A-Za-z0-9+/=\s:,.\\-])|\Z)"
        ),
    ),
    _Form(  # the password in a connection string; a place to be filled in is none
        ("://",),
        re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@\"'<>]*:(?P<s>(?![{$<%*])[^\s/\"'<>\\]+)@"),
    ),
    _Form(  # libpq and ODBC
        ("password=", "pwd=", "accountkey=", "sharedaccesskey="),
        re.compile(
            r"(?i)(?:\b(?:host|server|dbname|database|user|uid|port|endpoint|accountname)=[^\s;\"']+[\s;][^\n\"]{0,200}?)"
            r"\b(?:password|pwd|accountkey|sharedaccesskey)=(?P<s>'[^'\n]+'|[^\s;\"'{$<]{4,})"
        ),
        fold=True,
    ),
    _Form(
        ("bearer ", "basic "),
        re.compile(r"(?i)\bbearer\s+(?P<s>(?=[A-Za-z._~+/-]*[0-9])[A-Za-z0-9._~+/-]{16,}=*)"),
        fold=True,
    ),
    _Form(
        ("basic ",),
        re.compile(r"(?i)authorization[\"']?\s*[:=]\s*[\"']?basic\s+(?P<s>[A-Za-z0-9+/]{8,}={0,2})"),
        fold=True,
    ),
    _Form(  # `api_key: ...`: only what no word, name or sentence looks like
        _LABELS,
        re.compile(
            r"(?i)(?:api[_-]?key|secret(?:[_-]?access)?[_-]?key|client[_-]?secret|(?:access|auth|refresh)[_-]?token|passw(?:or)?d)"
            r"[\"']?\s*[:=]\s*[\"']?(?P<s>(?=[A-Za-z0-9_+/=.-]*[0-9])(?=[0-9_+/=.-]*[A-Za-z])[A-Za-z0-9_+/=.-]{16,})(?![\w(\[])"
        ),
        fold=True,
    ),
)


def env_secrets(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Values of variables named like secrets, of at least `LEAST` characters; of a connection string its password.

    The longest come first, each also as it stands in JSON and in a URL.
    """
    found: set[str] = set()
    for name, value in (os.environ if environ is None else environ).items():
        if not _NAMED.search(name):
            continue
        if "://" in value:
            parts = re.match(r"[^/]*://[^\s/:@]*:([^\s/]+)@", value)
            password = parts[1] if parts else ""  # the rest of an address is no secret
            known = [password, unquote(password)]
        else:
            known = [] if _PLAIN.fullmatch(value) else [value]
        for secret in known:
            if len(secret) >= LEAST:
                found |= {secret, json.dumps(secret)[1:-1], quote(secret, safe="")}
    return tuple(sorted(found, key=lambda v: (-len(v), v)))


@dataclass(frozen=True)
class Redactor:
    """Masks secrets in whatever is kept. Without arguments: by form, and the environment's.

    Args:
        hook: The user's `Run.redact`: text -> text without secrets. It sees every text, prompts also as JSON text, must
            give the same for the same text, and must leave alone what it gave.
        secrets: Texts that are secrets wherever they stand.
    """

    hook: Callable[[str], str] | None = None
    secrets: tuple[str, ...] = field(default_factory=env_secrets, repr=False)

    def text(self, text: str) -> str:
        """`text` with `MASK` in the place of every secret.

        Raises:
            UserMistake: the hook raised, or gave no text.
        """
        masked = _masked(text, self.secrets, lambda _: MASK)
        if self.hook is None:
            return masked
        try:
            given = self.hook(masked)
        except Exception as e:
            raise UserMistake(
                f"Run.redact raised {type(e).__name__}; mend it: nothing can be kept unmasked"
            ) from e
        if not isinstance(given, str):
            raise UserMistake(f"Run.redact gave a {type(given).__name__}; it takes a text and gives a text")
        return given

    def json(self, value: Any) -> Any:
        """A JSON value with every text in it masked, keys included; the same object where nothing is."""
        # one look at all texts together: nearly every value holds no secret, and this runs for each that is kept
        if self.hook is None and not _near("\n".join(_texts(value)), self.secrets):
            return value
        return self._json(value)

    def _json(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            made = {self._json(k): self._json(v) for k, v in value.items()}
            same = len(made) == len(value) and all(k in made and made[k] is v for k, v in value.items())
            return value if same else made
        if isinstance(value, list | tuple):
            items = [self._json(v) for v in value]
            return value if all(a is b for a, b in zip(items, value, strict=True)) else items
        return value

    def raw(self, data: bytes) -> bytes:
        """Bytes that are no text, with every secret overwritten in its place: the length stays."""
        text = data.decode("latin-1")
        masked = _masked(text, self.secrets, lambda s: "*" * len(s))
        return data if masked == text else masked.encode("latin-1")

    def msgpack(self, data: bytes) -> bytes:
        """What LangGraph's serializer wrote, with every text in it masked; the same bytes where nothing is.

        Nothing is built from it: extension types are opened as data and closed again.
        """
        opened = opened_msgpack(data)
        masked = self._opened(opened)
        return data if masked is opened else closed_msgpack(masked)

    def _opened(self, value: Any) -> Any:
        if isinstance(value, Ext):
            inner = self._opened(value.inner)
            return value if inner is value.inner else Ext(value.code, inner)
        if isinstance(value, bytes):
            return self.raw(value)
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            made = {self._opened(k): self._opened(v) for k, v in value.items()}
            same = len(made) == len(value) and all(k in made and made[k] is v for k, v in value.items())
            return value if same else made
        if isinstance(value, list | tuple):
            items = [self._opened(v) for v in value]
            same = all(a is b for a, b in zip(items, value, strict=True))
            return value if same else type(value)(items)
        return value

    def holds_secret(self, text: str) -> bool:
        """True where masking changes `text`."""
        return self.text(text) != text

    def refuse_in(self, prompts: Mapping[str, str]) -> None:
        """Refuse prompts (by agent) that hold secrets: a rule book is kept and shown as it is, or it would be another one.

        Raises:
            UserMistake: one does; the message shows the place with the secret masked.
        """
        for agent, prompt in prompts.items():
            shown = _masked(prompt, self.secrets, lambda _: MASK)
            if shown != prompt:
                raise UserMistake(
                    f"the prompt of {agent!r} holds a secret ({_around(shown)!r}); prompts are sent to critics, kept in the "
                    "run and shown in reports: give it to the code that needs it, not to the model"
                )


def _around(shown: str) -> str:
    at = shown.find(MASK)
    return shown[max(0, at - 30) : at + len(MASK) + 10]


def _texts(value: Any) -> list[str]:
    """Every text in a JSON value, keys included."""
    found: list[str] = []
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, dict):
            left.extend(one)
            left.extend(v for v in one.values() if type(v) not in _BARE)
        elif isinstance(one, list | tuple):
            left.extend(v for v in one if type(v) not in _BARE)
    return found


_BARE = frozenset({int, float, bool, type(None)})
"""What holds no text."""


def _near(text: str, secrets: tuple[str, ...]) -> bool:
    """False where no secret can be in `text`."""
    low = text.lower()
    return any(secret in text for secret in secrets) or any(form.near(text, low) for form in _FORMS)


def _masked(text: str, secrets: tuple[str, ...], hide: Callable[[str], str]) -> str:
    while True:  # what is masked can show that what stood behind it is a secret of its own
        before = text
        for secret in secrets:
            if secret in text:
                text = text.replace(secret, hide(secret))
        low = text.lower()
        for form in _FORMS:
            changed = form.mask(text, low, hide)
            if changed != text:
                text, low = changed, changed.lower()
        if text == before:
            return text


class MaskingSerializer(JsonPlusSerializer):
    """LangGraph's serializer for the optimizer's own state: what it writes is masked, what it reads builds no object.

    LangGraph keeps the words of an exception that ended a node; they pass here too.
    """

    def __init__(self, redact: Redactor) -> None:
        super().__init__(allowed_msgpack_modules=[])
        self._redact = redact

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """As LangGraph's, masked."""
        kind, data = super().dumps_typed(obj)
        return kind, self._redact.msgpack(data) if kind == "msgpack" else self._redact.raw(data)


@dataclass(frozen=True)
class Ext:
    """An extension of msgpack, opened as data: LangGraph writes `[module, name, arguments...]` inside."""

    code: int
    inner: Any

    def __hash__(self) -> int:  # it may be the key of a mapping
        return hash((self.code, repr(self.inner)))

    @property
    def names(self) -> tuple[str, str] | None:
        """Module and name of what a reader would look up; None where it holds none."""
        match self.inner:
            case [str(module), str(name), *_]:
                return module, name
        return None


def opened_msgpack(data: bytes) -> Any:
    """Stored msgpack as data, extensions as `Ext`: no class is looked up, nothing is called.

    Raises:
        ValueError: it is no msgpack, or goes deeper than any state does.
    """
    return ormsgpack.unpackb(data, ext_hook=_ext, option=ormsgpack.OPT_NON_STR_KEYS)


def _ext(code: int, data: bytes) -> Ext:
    return Ext(code, opened_msgpack(data))


def closed_msgpack(value: Any) -> bytes:
    """The inverse of `opened_msgpack`."""
    return ormsgpack.packb(
        value, default=_closed, option=ormsgpack.OPT_NON_STR_KEYS | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    )


def _closed(value: Any) -> ormsgpack.Ext:
    return ormsgpack.Ext(value.code, closed_msgpack(value.inner))
