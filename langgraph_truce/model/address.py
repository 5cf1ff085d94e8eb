"""The address of a PostgreSQL database: its password is used, and never shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from langgraph_truce.errors import UserMistake

PATIENCE = 300.0
"""Seconds that a lost database is waited for, where the URL has no `reconnect=SECONDS`."""
_SCHEME = re.compile(r"^postgres(ql)?:/{1,2}")  # a Path made of a URL has lost a slash
_OWN = "reconnect"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is."""

    url: str = field(repr=False)
    """For libpq, with all secrets."""
    shown: str
    """For people, without."""
    patience: float = PATIENCE
    """Seconds that it is waited for once it was lost, >= 0."""
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @staticmethod
    def fits(where: str | Path) -> bool:
        """True for the URL of a PostgreSQL database, also one that went through `Path`."""
        return _SCHEME.match(str(where)) is not None

    @classmethod
    def of(cls, text: str) -> Address:
        """Read a URL; `?reconnect=SECONDS` is ours, everything else goes to libpq as it is.

        Raises:
            UserMistake: it cannot be read, or the seconds are no number >= 0.
        """
        try:
            parts = urlsplit(_SCHEME.sub("postgresql://", text))
            host = parts.netloc.rpartition("@")[2]
        except ValueError as e:
            raise UserMistake(
                "this PostgreSQL URL cannot be read; write postgresql://USER@HOST/DATABASE#NAME, with special "
                "characters of a password as %40 and the like"
            ) from e
        fields = [(k, v) for k, _, v in (pair.partition("=") for pair in parts.query.split("&") if pair)]
        secrets = [parts.password or "", *(v for k, v in fields if "password" in k.lower())]
        kept = "&".join(f"{k}={v}" for k, v in fields if k != _OWN)
        open_ = "&".join(f"{k}={v}" for k, v in fields if "password" not in k.lower())
        user = f"{parts.username}@" if parts.username else ""
        return cls(
            parts._replace(query=kept, fragment="").geturl(),
            f"postgresql://{user}{host}{parts.path}" + (f"?{open_}" if open_ else ""),
            _seconds(dict(fields).get(_OWN, str(PATIENCE))),
            tuple(sorted({s for given in secrets if given for s in (given, unquote(given))}, key=len))[::-1],
        )

    def clean(self, error: BaseException | str) -> str:
        """The words of an error, in one line and without any secret of this address."""
        said = " ".join(str(error).split())
        for secret in self.secrets:
            said = said.replace(secret, "***")
        return said or type(error).__name__


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UserMistake(f"{_OWN}={text} in a PostgreSQL URL: it is a number of seconds, 0 or more")
    return seconds
