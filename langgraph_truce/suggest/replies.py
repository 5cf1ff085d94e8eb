"""What the optimizer model answers to `prompts/suggest.md` (TRUCE B.3, second prompt, shortened)."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Causality(BaseModel):
    """Which behaviour of the agent caused which part of the result."""

    positive_contributions: list[str] = Field(default_factory=list)
    negative_impacts: list[str] = Field(default_factory=list)
    missed_opportunities: list[str] = Field(default_factory=list)


class SuggestedEdit(BaseModel):
    """δ = (τ, s) as the model gives it, not yet checked: `op` and ids are plain strings."""

    op: str
    rule: str = Field(default_factory=str)
    instruction: str
    reason: str = Field(default_factory=str)
    evidence: list[str] = Field(default_factory=list)
    """Cited step ids."""


class SuggestReply(BaseModel):
    """Δ_j for one agent and one task, with the analysis it came from."""

    contribution: str = Field(default_factory=str)
    strengths: list[str] = Field(default_factory=list)
    weaknesses: list[str] = Field(default_factory=list)
    causality: Causality = Field(default_factory=Causality)
    suggestions: list[SuggestedEdit] = Field(default_factory=list)


class GradientReply(BaseModel):
    """Δ of one agent from several failed runs, in words and as suggestions (TSCA eq. 6 to 8)."""

    gradient: str = Field(default_factory=str)
    suggestions: list[SuggestedEdit] = Field(default_factory=list)
