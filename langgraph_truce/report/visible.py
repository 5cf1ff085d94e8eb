"""Text from agents, rules and tasks is data: what would not be seen, or would move a terminal, is made visible."""

from __future__ import annotations

import unicodedata

_KEPT = frozenset("\n\t")
_JOINERS = frozenset("\u200c\u200d")
"""Zero-width joiners are letters of Persian, Indic scripts and emoji: they stay."""
_PICTURES = 0x2400
_DELETE = 0x7F
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control characters, invisible format characters (bidi controls, tags), lone surrogates, line and paragraph separators."""


def visible(text: str) -> str:
    """`text` with every hidden character but newline, tab and joiners as a mark: `␛` for ESC, `⟨U+202E⟩` for the rest.

    The result has no terminal escapes and no bidi controls and can be written as UTF-8.
    """
    return "".join(map(_seen, text.replace("\r\n", "\n")))


def _seen(char: str) -> str:
    if char in _KEPT or char in _JOINERS or unicodedata.category(char) not in _HIDDEN:
        return char
    code = ord(char)
    if code < ord(" "):
        return chr(_PICTURES + code)
    return "\u2421" if code == _DELETE else f"⟨U+{code:04X}⟩"
