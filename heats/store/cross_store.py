"""Files of executed evidence in a task's directory.

`existing.json`: selection of the project's own tests; `cross.jsonl`: runs of these and of rollouts' tests;
`heat-0/cross.json`: a heat's table; `heat-0/scripts.jsonl`: scripts that judges wrote for matches.
"""

from pathlib import Path

from core.ids import heat_name
from envs.regression import ExistingTests
from heats.store.files import LineLog, read_lines, read_record, write_record
from heats.store.records import CrossCell, CrossTable, ProbeScript


class CrossStore:
    """Cells and tables of one task.

    Args:
        directory: directory of the task.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lines: LineLog | None = None

    def cells(self) -> dict[tuple[str, str], CrossCell]:
        """Return all runs so far, in any heat, by digest of the tests and key of the patch."""
        lines = read_lines(self._directory / "cross.jsonl", CrossCell)
        return {(cell.tests, cell.patch): cell for cell in lines}

    def add(self, cell: CrossCell) -> None:
        """Store one cell durably."""
        self._lines = self._lines or LineLog(self._directory / "cross.jsonl")
        self._lines.append(cell)

    def existing(self) -> ExistingTests | None:
        """Return the selection of the project's own tests; None before it is made."""
        return read_record(self._directory / "existing.json", ExistingTests)

    def save_existing(self, existing: ExistingTests) -> None:
        """Store the selection for all heats."""
        write_record(self._directory / "existing.json", existing)

    def table(self, heat: int) -> CrossTable | None:
        """Return a heat's table once it is complete."""
        return read_record(self._directory / heat_name(heat) / "cross.json", CrossTable)

    def save_table(self, heat: int, table: CrossTable) -> None:
        """Store a heat's table."""
        write_record(self._directory / heat_name(heat) / "cross.json", table)

    def scripts(self, heat: int) -> list[ProbeScript]:
        """Return the scripts that judges wrote in a heat's matches."""
        return list(read_lines(self._scripts(heat), ProbeScript))

    def add_script(self, heat: int, script: ProbeScript) -> None:
        """Store one script durably."""
        log = LineLog(self._scripts(heat))
        log.append(script)
        log.close()

    def _scripts(self, heat: int) -> Path:
        return self._directory / heat_name(heat) / "scripts.jsonl"

    def close(self) -> None:
        """Close the file."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None
