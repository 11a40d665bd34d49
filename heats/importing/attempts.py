"""An attempt that somebody else made, and what could not be read beside it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agents.trajectory import Trajectory
from envs.base import Evidence
from envs.diffparse import DiffSyntaxError, parse_diff
from summarizer.schema import Summary

PATCHES = (".diff", ".patch")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at a task.

    Attributes:
        source: where it was read, as a person would point at it.
        file: the file it was read from.
        instance: the task's id where a file or a tool's way of naming files says it, else empty.
        patch: exact bytes; empty when the attempt left none.
        statement: the task's text where the attempt tells it.
        summary, evidence: of an attempt that heats itself made.
        summarized_by: who wrote `summary`, as `summary_key` names it.
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
    """Something that was given and cannot be used, and why. `instance` is its task's id, if that much is known."""

    source: str
    reason: str
    instance: str = ""


Found = Attempt | LeftOut


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that was read from what was given, in its order."""

    attempts: tuple[Attempt, ...]
    left_out: tuple[LeftOut, ...] = field(default=())

    @classmethod
    def of(cls, found: Sequence[Found]) -> "Reading":
        """Sort what can be used from what cannot."""
        attempts = tuple(one for one in found if isinstance(one, Attempt))
        return cls(attempts, tuple(one for one in found if isinstance(one, LeftOut)))


def ended(data: bytes) -> bytes:
    """With the line end that `git apply` wants and other tools strip, without a byte order mark."""
    data = data.removeprefix(_BOM)
    return data if not data.strip() or data.endswith(b"\n") else data + b"\n"


def is_diff(data: bytes) -> bool:
    """Whether the bytes are a diff that can be read to its end."""
    try:
        return bool(parse_diff(data))
    except DiffSyntaxError:
        return False


def encoded(text: object) -> bytes:
    """A patch that stood in JSON as bytes; a lone surrogate stays what it is."""
    return ended(str(text or "").encode("utf-8", "surrogatepass"))


def stem_of(path: Path) -> str:
    """A file's name without what says its kind: `a.traj.json`, `a.traj`, `a.pred` and `a.patch` are one attempt's."""
    return path.name.removesuffix(".json").removesuffix(".traj") if path.name.endswith(".traj.json") else path.stem
