"""Turn a trajectory into a summary: the structured account of one rollout that judges and refiners read."""

from summarizer.config import SummarizerConfig
from summarizer.fallback import harness_summary, is_idle
from summarizer.render import render
from summarizer.summarize import summarize
from summarizer.view import render_trajectory

__all__ = ["SummarizerConfig", "harness_summary", "is_idle", "render", "render_trajectory", "summarize"]
