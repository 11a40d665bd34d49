"""Imported attempts, and the parts of an import that could not be used."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agents.trajectory import Trajectory
from core.diff import scan_diff
from envs.base import Evidence
from summarizer.schema import Summary

PATCHES = (".diff", ".patch")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedAttempt:
    """One attempt at a task.

    Attributes:
        source: where it was read, for messages.
        file: the file it was read from.
        instance: the task's id, if the files or the tool's layout give it; else empty.
        patch: the raw diff; empty if the attempt left none.
        statement: the task's text, if the attempt includes it.
        summary, evidence: only for attempts made by heats.
        summarized_by: the summarizer that wrote `summary`, as returned by `summary_key`.
    """

    source: str
    file: Path = Path()
    instance: str = ""
    trajectory: Trajectory | None = None
    patch: bytes = b""
    statement: str = ""
    model: str = ""
    summary: Summary | None = None
    summarized_by: str = ""
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A part of the input that cannot be used, and why. `instance` is the id of its task, if known."""

    source: str
    reason: str
    instance: str = ""


Found = ImportedAttempt | LeftOut


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that was read, in input order."""

    attempts: tuple[ImportedAttempt, ...]
    left_out: tuple[LeftOut, ...] = field(default=())

    @classmethod
    def of(cls, found: Sequence[Found]) -> "Reading":
        """Separate attempts from what was left out."""
        attempts = tuple(one for one in found if isinstance(one, ImportedAttempt))
        return cls(attempts, tuple(one for one in found if isinstance(one, LeftOut)))


def without_mark(data: bytes) -> bytes:
    """A patch without a byte order mark, which would hide its first header."""
    return data.removeprefix(_BOM)


def is_diff(data: bytes) -> bool:
    """Whether the bytes look like a diff. Whether it applies is checked, with the reason, where it is used."""
    return any(file.path or file.flaw for file in scan_diff(data))


def encoded(text: object) -> bytes:
    """The bytes of a patch that was stored as JSON text; lone surrogates are kept."""
    return without_mark(str(text or "").encode("utf-8", "surrogatepass"))


def stem_of(path: Path) -> str:
    """A file's name without its suffixes: the same for `a.traj.json`, `a.traj`, `a.pred` and `a.patch`."""
    return path.name.removesuffix(".json").removesuffix(".traj") if path.name.endswith(".traj.json") else path.stem
