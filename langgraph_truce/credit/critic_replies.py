"""What the critics answer to `prompts/critic.md`, `peers.md` and `diagnosis.md`.

A score that is out of range or no number is a fault of one judgement and not of the whole reply: the schema that a
provider is shown asks for a number in its range, and any value is read; who uses it checks it (`structural.checked`).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema

Share = Annotated[Any, WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})]
"""Asked for as a number in [0, 1]; whatever came."""
Points = Annotated[Any, WithJsonSchema({"type": "number", "minimum": 0, "maximum": 5})]
"""Asked for as a number in [0, 5]; whatever came."""


class Judgement(BaseModel):
    """q of one utterance, or of the shared state."""

    step: str = Field(default_factory=str)
    """Id of the judged step."""
    q: Share
    words: str = Field(default_factory=str)


class CriticReply(BaseModel):
    """One round judged: q_it of every utterance, q_agg_t of the shared state (TSCA section 4.3)."""

    utterances: list[Judgement] = Field(default_factory=list)
    aggregate: Judgement | None = None


class Contribution(BaseModel):
    """p of one role."""

    role: str
    p: Share
    words: str = Field(default_factory=str)


class PeersReply(BaseModel):
    """One round as the group sees it: p_it of every role (TSCA section 4.3)."""

    roles: list[Contribution] = Field(default_factory=list)


class DiagnosisReply(BaseModel):
    """Why one run failed (TSCA appendix D)."""

    pattern: str
    score: Points
    words: str = Field(default_factory=str)
