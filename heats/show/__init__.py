"""Everything that shows a run to a person: progress while it goes on, tables, accounts and the report afterwards."""

from heats.show.account import account
from heats.show.figures import RunFigures
from heats.show.live import Display, DisplayMode, open_display
from heats.show.table import figures_text, figures_view

__all__ = ["Display", "DisplayMode", "RunFigures", "account", "figures_text", "figures_view", "open_display"]
