"""What the critic answers to `prompts/credit.md` (TRUCE B.3, first prompt; `agents` is ours)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

Score = Annotated[float, Field(ge=1, le=10)]
"""1 (serious harm) to 10 (decisive help); 5.5 made no difference."""


class Progress(BaseModel):
    """Was real progress made in this segment?"""

    score: Score
    analysis: str
    key_achievements: list[str] = Field(default_factory=list)


class Coordination(BaseModel):
    """Did the agents work together?"""

    score: Score
    analysis: str
    coordination_highlights: list[str] = Field(default_factory=list)
    coordination_issues: list[str] = Field(default_factory=list)


class Stage(BaseModel):
    """Was the output right for this stage, and ready for the next?"""

    score: Score
    analysis: str
    alignment_evidence: list[str] = Field(default_factory=list)


class SegmentSummary(BaseModel):
    """The segment in short; its overall score is the mean of the three criteria and not asked for."""

    main_contributions: list[str] = Field(default_factory=list)
    areas_for_improvement: list[str] = Field(default_factory=list)
    next_iteration_suggestions: list[str] = Field(default_factory=list)


class AgentCredit(BaseModel):
    """What one agent did in this segment."""

    agent: str
    """Role path, as listed in the prompt."""
    score: Score
    words: str
    steps: list[str] = Field(default_factory=list)
    """Cited step ids."""
    rules: list[str] = Field(default_factory=list)
    """Ids of the agent's own rules that made it do so; empty where none did."""


class CreditReply(BaseModel):
    """One segment judged."""

    iteration_progress: Progress
    agent_coordination: Coordination
    stage_appropriateness: Stage
    iteration_summary: SegmentSummary = Field(default_factory=SegmentSummary)
    agents: list[AgentCredit] = Field(default_factory=list)

    @property
    def overall_score(self) -> float:
        """Mean of the three criteria, 1 to 10."""
        parts = (self.iteration_progress, self.agent_coordination, self.stage_appropriateness)
        return sum(p.score for p in parts) / len(parts)
