"""Entries of a bank, where they apply, and the changes that a bank consists of."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from core.record import Record

ScopeLevel = Literal["task", "repository", "run", "all"]


class Scope(Record):
    """Where an entry applies.

    Attributes:
        level: one task, one repository, one run, or everywhere.
        of: id of the task, name of the repository, or id of the run; empty for `all`.
        commit: the repository's commit that the entry describes, if it describes one.
    """

    level: ScopeLevel = "all"
    of: str = ""
    commit: str = ""


class Source(Record):
    """A finished task that an entry rests on.

    Attributes:
        run: id of the run, with its instance: a later run in a directory of the same name is another one.
        task: id of the task.
        digest: of what the writer was shown.
        verdict: what the task's own tests said of its result; never a grade.
    """

    run: str = ""
    task: str = ""
    digest: str = ""
    verdict: str = ""


class Entry(Record):
    """One thing worth knowing.

    Attributes:
        kind: `behaviour`, `concept`, `guideline`, `experience`, `routine`, `notes`, or a kind of your own.
        name: short and unique within kind and scope.
        cues: situations in which it helps.
        text: what to know or do.
        sources: tasks that it rests on; empty if a person wrote it.
    """

    kind: str = Field(min_length=1, max_length=40)
    name: str = Field(min_length=1, max_length=120)
    cues: tuple[str, ...] = Field((), max_length=16)
    text: str = Field(min_length=1, max_length=4000)
    scope: Scope = Scope()
    sources: tuple[Source, ...] = ()

    @property
    def id(self) -> str:
        """Derived from kind, name and scope, so that the same name in the same place is the same entry."""
        words = " ".join(self.name.lower().split())
        parts = (self.kind, words, self.scope.level, self.scope.of, self.scope.commit)
        return hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()[:10]

    @property
    def support(self) -> int:
        """Number of different tasks that it rests on."""
        return len({(one.run, one.task) for one in self.sources})

    @property
    def supported(self) -> int:
        """How many of them ended with a patch that passes the task's own tests."""
        return len({(one.run, one.task) for one in self.sources if one.verdict in ("verified", "passes")})


class Change(Record):
    """One change to a bank.

    Attributes:
        op: `add` a new entry or replace one with the same id, `modify` an existing one, `merge` others into it, or
            `drop` it.
        id: the entry that is modified, merged into or dropped; for `add`, that of `entry`.
        entry: the entry as it is afterwards; None for `drop`.
        of: ids of entries that `merge` removes.
        reason: why, if somebody said so.
    """

    op: Literal["add", "modify", "merge", "drop"] = "add"
    id: str = ""
    entry: Entry | None = None
    of: tuple[str, ...] = ()
    reason: str = ""


class Batch(Record):
    """One line of a bank: changes that take effect together.

    Attributes:
        key: names the work that made them, so that it is never applied twice; empty if it does not matter.
        by: the writer, or the command.
        source: the task that they result from, if one did.
        at: ISO 8601, UTC; for display.
    """

    changes: tuple[Change, ...]
    key: str = ""
    by: str = ""
    source: Source = Source()
    at: str = ""


@dataclass(frozen=True, slots=True)
class Reader:
    """The work that reads a bank; decides what it may see.

    Attributes:
        run: id of the run with its instance, as in `Source`.
        task: id of the task in it.
        repository: name of the task's repository; empty if unknown.
        commit: commit that the task starts from.
        tasks: ids of all tasks of the run.
        across_tasks: whether what was learnt from these tasks may be read.
    """

    run: str
    task: str
    repository: str = ""
    commit: str = ""
    tasks: frozenset[str] = frozenset()
    across_tasks: bool = False

    def readable(self, batches: Iterable[Batch]) -> list[Entry]:
        """The entries that apply here, as if other tasks of this run, in whichever run, had written nothing."""
        allowed = [batch for batch in batches if not self._leaks(batch.source)]
        return [entry for entry in entries_of(allowed).values() if self._may_see(entry)]

    def _may_see(self, entry: Entry) -> bool:
        return self._applies(entry.scope) and not any(map(self._leaks, entry.sources))

    def _applies(self, scope: Scope) -> bool:
        here = {"task": self.task, "repository": self.repository, "run": self.run}
        return scope.level == "all" or (bool(scope.of) and here[scope.level] == scope.of)

    def _leaks(self, source: Source) -> bool:
        """Whether it is a task of this run; what the reading task itself wrote in this run is no leak."""
        if self.across_tasks or (source.run, source.task) == (self.run, self.task):
            return False
        return source.task in self.tasks


def entries_of(batches: Iterable[Batch]) -> dict[str, Entry]:
    """The entries that result from lines, by id, oldest first."""
    found: dict[str, Entry] = {}
    for change in (change for batch in batches for change in batch.changes):
        for gone in (*change.of, *([change.id] if change.op == "drop" else [])):
            found.pop(gone, None)
        if change.entry is not None:
            if change.id and change.id != change.entry.id:
                found.pop(change.id, None)
            found[change.entry.id] = change.entry
    return found
