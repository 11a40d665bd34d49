"""Step choosers: which of several proposed turns an agent acts on."""

from agents.choose.base import StepChooser, Turn, open_chooser
from agents.choose.config import CHOOSERS

__all__ = ["CHOOSERS", "StepChooser", "Turn", "open_chooser"]
