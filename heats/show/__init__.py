"""Everything that shows a run to a person: progress while it goes on, tables, accounts and the report afterwards."""

from heats.show.live import Display, open_display

__all__ = ["Display", "open_display"]
