"""Everything that shows a run to a person: progress while it goes on, tables, accounts, the report and exports."""

from heats.show.account import account
from heats.show.export import export_atif, export_preds
from heats.show.export_harbor import export_harbor
from heats.show.export_table import export_csv, export_parquet
from heats.show.live import Display, DisplayMode, open_display
from heats.show.report import write_report
from heats.show.table import RunFigures

__all__ = [
    "Display",
    "DisplayMode",
    "RunFigures",
    "account",
    "export_atif",
    "export_csv",
    "export_harbor",
    "export_parquet",
    "export_preds",
    "open_display",
    "write_report",
]
