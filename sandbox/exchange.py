"""One command and all that has come back of it so far."""

import time
from dataclasses import dataclass, field

from sandbox.base import ExecResult, ExecStatus
from sandbox.pipes import PipeWire
from sandbox.stream import Capture, RecordScanner


@dataclass(slots=True)
class Exchange:
    """A command from its request to its record.

    Attributes:
        nonce: of the request; records with another one are output.
        merged: both streams come as one.
        worker: whom it was sent to, where that is not the supervisor itself.
        began: when, by `time.monotonic`.
        record: the fields of its completion record, once that is there.
        answers: fields of other records, by their letter.
        asked: when it was asked whether the command is still watched, while there is no answer.
        last_data: when output came last.
    """

    nonce: str
    out: Capture
    err: Capture
    out_scan: RecordScanner
    err_scan: RecordScanner
    merged: bool
    worker: PipeWire | None
    began: float
    record: list[str] | None = None
    err_done: bool = False
    answers: dict[str, list[str]] = field(default_factory=dict)
    asked: float | None = None
    last_data: float = 0.0

    @classmethod
    def begin(cls, nonce: str, limit: int, *, merged: bool, worker: PipeWire | None = None) -> "Exchange":
        """One that starts now, of which `limit` bytes of each stream are kept."""
        scanners = RecordScanner(nonce), RecordScanner(nonce)
        return cls(nonce, Capture(limit), Capture(limit), *scanners, merged, worker, time.monotonic())

    @property
    def complete(self) -> bool:
        """Whether all of its output is here."""
        return self.record is not None and (self.merged or self.err_done)

    def feed(self, stream: int, data: bytes) -> int:
        """Take what came through a stream (1 or 2); returns how many bytes of output that has brought in all.

        Raises:
            ValueError: a record that is none.
        """
        scanner, capture = (self.out_scan, self.out) if stream == 1 else (self.err_scan, self.err)
        for item in scanner.feed(data):
            if isinstance(item, bytes):
                capture.add(item)
                self.last_data = time.monotonic()
            else:
                self._note(stream, item)
        return capture.total

    def _note(self, stream: int, words: list[str]) -> None:
        op, *values = words or ["?"]
        if op == "X" and stream == 2:
            self.err_done = True
        elif op == "X":
            self.record = values
        else:
            self.answers[op] = values

    def result(self, status: ExecStatus, code: int | None, left: int) -> ExecResult:
        """What to tell of it, with how many processes it left running."""
        return ExecResult(
            status=status,
            exit_code=code,
            stdout=self.out.value(),
            stderr=self.err.value(),
            stdout_total=self.out.total,
            stderr_total=self.err.total,
            duration_s=time.monotonic() - self.began,
            left_running=left,
        )
