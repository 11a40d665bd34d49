"""Trajectory -> summary: the structured account of one rollout that judges and refiners read."""

from summarizer.config import SummarizerConfig
from summarizer.render import render
from summarizer.summarize import summarize
from summarizer.view import render_trajectory

__all__ = ["SummarizerConfig", "render", "render_trajectory", "summarize"]
