"""Step choosers: which of several proposed turns an agent acts on."""

from agents.choose.base import CHOOSERS, StepChooser, Turn, open_chooser

__all__ = ["CHOOSERS", "StepChooser", "Turn", "open_chooser"]
