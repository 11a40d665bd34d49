"""Cross-execution in a task's directory: `cross.jsonl` for test runs, `heat-0/cross.json` for the table."""

from pathlib import Path

from core.ids import heat_name
from heats.store.files import LineLog, read_lines, read_record, write_record
from heats.store.records import CrossCell, CrossTable


class CrossStore:
    """Cells and tables of one task.

    Args:
        directory: the task's directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lines: LineLog | None = None

    def cells(self) -> dict[tuple[str, str], CrossCell]:
        """All runs so far, in any heat, by digest of the tests and key of the patch."""
        lines = read_lines(self._directory / "cross.jsonl", CrossCell)
        return {(cell.tests, cell.patch): cell for cell in lines}

    def add(self, cell: CrossCell) -> None:
        """Store one cell, durably."""
        self._lines = self._lines or LineLog(self._directory / "cross.jsonl")
        self._lines.append(cell)

    def table(self, heat: int) -> CrossTable | None:
        """A heat's table, once it is complete."""
        return read_record(self._directory / heat_name(heat) / "cross.json", CrossTable)

    def save_table(self, heat: int, table: CrossTable) -> None:
        """Store a heat's table."""
        write_record(self._directory / heat_name(heat) / "cross.json", table)

    def close(self) -> None:
        """Close the file."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None
