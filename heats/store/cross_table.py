"""Tabulate cross-execution and rank candidates by it, with pure functions.

A test counts only if it distinguishes patches and somebody besides its author confirms it: it fails on the base, fails
on at least one patch, and passes on at least two different ones, so on at least one that is not its author's. Tests
that pass only for their author, for everybody or for nobody, or that pass on the base, say nothing. Every author has
one voice, however many tests it wrote: the share of its counting tests that a patch passes. With fewer than two voices,
there is no ranking.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from envs.sentinel import candidates as files_of
from heats.store.records import CrossCell, CrossRow, CrossTable
from tournament.base import Candidate

QUORUM = 2
"""Minimum number of voices for a ranking."""
MOST_TESTS = 100
"""Maximum number of tests per author; the rest is ignored."""
CLASSES = 3
"""Number of classes into which cross-execution splits an evidence class."""


@dataclass(frozen=True, slots=True)
class AuthoredTests:
    """Test files written by one or more rollouts.

    Attributes:
        digest: digest of the files.
        authors: rollouts whose patches contain exactly these files; together they have one voice.
        files: paths of the files that contain tests.
    """

    digest: str
    authors: tuple[str, ...]
    files: tuple[str, ...]


def tabulate(
    field: Sequence[Candidate],
    voices: Sequence[AuthoredTests],
    cells: Mapping[tuple[str, str], CrossCell],
    known: Collection[str],
) -> CrossTable:
    """Build the table from its cells, and rank the candidates.

    Args:
        field: candidates with a patch.
        voices: the authors' tests.
        cells: results by digest of the tests and key of the patch they ran on, empty for the base. A voice with a
            missing cell, whose sandbox failed, is ignored.
        known: ids of the user's own tests, which have no author.
    """
    keys = {one.id: one.patch_key for one in field}
    columns = ("", *dict.fromkeys(keys.values()))
    rows: list[CrossRow] = []
    for voice in voices:
        ran = {key: cells[voice.digest, key] for key in columns if (voice.digest, key) in cells}
        if len(ran) == len(columns):
            rows += [_row(voice, test, keys, ran) for test in _tests(voice, ran.values(), known)]
    speaking = tuple(dict.fromkeys(row.author for row in rows if row.counts))
    shares = {one: _share(one, rows, speaking) for one in keys} if speaking else {}
    return CrossTable(
        candidates=tuple(keys),
        rows=tuple(rows),
        voices=speaking,
        shares=shares,
        ranks={one: _rank(share) for one, share in shares.items()} if len(speaking) >= QUORUM else {},
    )


def _tests(voice: AuthoredTests, ran: Collection[CrossCell], known: Collection[str]) -> list[str]:
    own = {
        test
        for cell in ran
        for test, outcome in cell.outcomes.items()
        if outcome != "error" and test not in known and not set(files_of(test)).isdisjoint(voice.files)
    }
    return sorted(own)[:MOST_TESTS]


def _row(voice: AuthoredTests, test: str, keys: Mapping[str, str], ran: Mapping[str, CrossCell]) -> CrossRow:
    outcomes = {key: cell.outcomes.get(test, "missing") for key, cell in ran.items()}
    passing = {key for key, outcome in outcomes.items() if outcome == "passed"}
    return CrossRow(
        author=voice.authors[0],
        authors=voice.authors,
        test=test,
        base=outcomes[""],
        outcomes={one: outcomes[key] for one, key in keys.items()},
        counts="" not in passing and 2 <= len(passing) < len(ran) - 1,
    )


def _share(one: str, rows: Sequence[CrossRow], speaking: Sequence[str]) -> float:
    """Mean over the voices of the share of their counting tests that this candidate passes."""
    total = 0.0
    for author in speaking:
        own = [row.outcomes[one] == "passed" for row in rows if row.counts and row.author == author]
        total += sum(own) / len(own)
    return total / len(speaking)


def _rank(share: float) -> int:
    return (share > 0.5) - (share < 0.5)


def with_cross(candidate: Candidate, table: CrossTable) -> Candidate:
    """The candidate with its result from the table: a class within its evidence class, and a line for readers.

    The line consists of numbers only, without any text from an author.
    """
    rank = CLASSES * candidate.evidence_rank + table.ranks.get(candidate.id, 0)
    evidence = "\n".join(text for text in (candidate.evidence, said_of(candidate.id, table)) if text)
    return candidate.model_copy(update={"evidence_rank": rank, "evidence": evidence})


def said_of(candidate: str, table: CrossTable) -> str:
    """One line on a candidate; empty if the rollouts' tests do not distinguish any patches."""
    counting = [row for row in table.rows if row.counts]
    if not counting or candidate not in table.shares:
        return ""
    passed = sum(row.outcomes[candidate] == "passed" for row in counting)
    attempts = "1 attempt" if len(table.voices) == 1 else f"{len(table.voices)} attempts"
    share = f"{100 * table.shares[candidate]:.0f} % with one vote per author"
    return f"tests by {attempts} that tell the patches apart: passes {passed} of {len(counting)} ({share})"
