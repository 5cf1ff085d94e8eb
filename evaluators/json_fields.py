"""json_fields: the share of right fields; the comment names each wrong one with what was expected and given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def json_fields(outputs: Any, reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Share of the reference's fields that the answer has right, in [0, 1].

    The answer is a mapping or the text of a JSON object; anything else has no field right. Texts are compared without
    case and with runs of white space as one space, everything else by value. Fields that the reference does not name
    do not count.

    Args:
        outputs: What the system answered.
        reference_outputs: The right value of every field that counts; not empty.

    Raises:
        ValueError: the reference is empty, so nothing can be compared.
    """
    if not reference_outputs:
        raise ValueError("json_fields needs reference_outputs, got none; give each task its right fields")
    given = _object(outputs)
    wrong = [k for k, v in reference_outputs.items() if k not in given or _plain(given[k]) != _plain(v)]
    score = 1 - len(wrong) / len(reference_outputs)
    comment = "; ".join(_words(k, reference_outputs[k], given) for k in wrong)
    return {"key": "json_fields", "score": score, "comment": comment or "every field is right"}


def _object(outputs: Any) -> Mapping[str, Any]:
    """The answer's fields; none where it is no object."""
    if isinstance(outputs, str):
        try:
            outputs = json.loads(outputs)
        except json.JSONDecodeError:
            return {}
    return outputs if isinstance(outputs, Mapping) else {}


def _words(key: str, expected: Any, given: Mapping[str, Any]) -> str:
    got = repr(given[key]) if key in given else "nothing"
    return f"{key}: expected {expected!r}, got {got}"


def _plain(value: Any) -> Any:
    """The value as it is compared."""
    return " ".join(value.casefold().split()) if isinstance(value, str) else value
