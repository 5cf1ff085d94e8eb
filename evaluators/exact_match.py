"""exact_match: the whole answer equals the reference; the comment names what was expected and what was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def exact_match(outputs: Any, reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    """1 where the answer equals the reference, else 0.

    Texts are compared without case and with runs of white space as one space, numbers by value, also inside lists and
    mappings. A reference with one field is compared with that field of the answer, or with the answer itself where
    it is no mapping; otherwise every field of the reference counts, and further fields of the answer do not.

    Args:
        outputs: What the system answered.
        reference_outputs: The right answer by field; not empty.

    Raises:
        ValueError: the reference is empty, so nothing can be compared.
    """
    if not reference_outputs:
        raise ValueError("exact_match needs reference_outputs, got none; give each task its right answer")
    if len(reference_outputs) == 1 and not isinstance(outputs, Mapping):
        outputs = {next(iter(reference_outputs)): outputs}
    given = outputs if isinstance(outputs, Mapping) else {}
    wrong = [k for k, v in reference_outputs.items() if k not in given or _plain(given[k]) != _plain(v)]
    comment = "; ".join(
        f"{k}: expected {reference_outputs[k]!r}, got {given[k]!r}"
        if k in given
        else f"{k}: expected {reference_outputs[k]!r}, got nothing"
        for k in wrong
    )
    return {"key": "exact_match", "score": float(not wrong), "comment": comment or "right"}


def _plain(value: Any) -> Any:
    """The value as it is compared."""
    if isinstance(value, str):
        return " ".join(value.casefold().split())
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
