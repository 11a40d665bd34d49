"""Tabulates the tests executed on every candidate and summarises the results per candidate; pure functions.

The table covers two kinds of tests: the project's own, which pass on the base, and those written by rollouts.
`executed_order.py` decides which of them count and how they order the candidates.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from core.text import on_one_line
from envs.sentinel import candidates as files_of
from heats.store.executed_order import Written, behaviours, places, shares
from heats.store.records import CrossCell, CrossRow, CrossTable
from tournament.base import Candidate

MOST_TESTS = 100
"""Maximum number of tests per author; further tests are dropped."""
PLACES = 4096
"""Number of subclasses into which executed tests split an evidence class; exceeds the number of candidates."""
_UNLOADED = re.compile(r"(?:\w+\.)*(?:ImportError|ModuleNotFoundError|SyntaxError|IndentationError|TabError)\b")
NAMED = 3
"""Maximum number of failing tests reported with their output."""


@dataclass(frozen=True, slots=True)
class AuthoredTests:
    """Test files written by rollouts.

    Attributes:
        digest: digest of their content.
        authors: rollouts whose patches contain exactly these tests; together they have one voice.
        files: paths of the test files.
        only_failing: only tests that fail on the base count, and not by an import or syntax error, as is demanded of
            test writers.
    """

    digest: str
    authors: tuple[str, ...]
    files: tuple[str, ...]
    only_failing: bool = False


@dataclass(frozen=True, slots=True)
class ExistingRun:
    """The project's own tests: digest of what is run, tests that pass on the base, and their files."""

    digest: str = ""
    stable: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


NOTHING_EXISTING = ExistingRun()


def tabulate(
    field: Sequence[Candidate],
    voices: Sequence[AuthoredTests],
    cells: Mapping[tuple[str, str], CrossCell],
    known: Collection[str],
    existing: ExistingRun = NOTHING_EXISTING,
) -> CrossTable:
    """Build the table from cells and rank the candidates.

    Args:
        field: candidates with a patch.
        voices: the tests of each author.
        cells: cells by digest of the tests and key of the patch (empty for the base). A voice with a missing cell,
            because its sandbox failed or the budget was exhausted, is dropped; the same applies to the existing tests.
        known: ids of the user's own tests, which belong to no author.
        existing: the project's own tests.
    """
    keys = {one.id: one.patch_key for one in field}
    best = max((one.evidence_rank for one in field), default=0)
    credible = frozenset(one.patch_key for one in field if one.evidence_rank == best)
    columns = tuple(dict.fromkeys(keys.values()))
    rows: list[CrossRow] = []
    written: list[Written] = []
    for voice in voices:
        ran = {key: cells[voice.digest, key] for key in ("", *columns) if (voice.digest, key) in cells}
        if len(ran) == len(columns) + 1:
            for test in _tests(voice, ran, known, existing.stable):
                written.append(_written(voice, test, keys, ran, credible))
                rows.append(_row(voice, written[-1], keys, ran))
    broken = _broken(columns, cells, existing)
    place, alike = places(columns, broken, written), behaviours(columns, broken, written)
    share = shares(columns, written)
    return CrossTable(
        candidates=tuple(keys),
        rows=tuple(rows),
        voices=tuple(dict.fromkeys(row.author for row in rows if row.counts)),
        shares={one: share[key] for one, key in keys.items()} if share else {},
        ranks={one: place[key] for one, key in keys.items()} if len(set(place.values())) > 1 else {},
        existing=len(existing.stable) if broken else 0,
        existing_files=existing.files if broken else (),
        broken={one: broken[key] for one, key in keys.items() if key in broken},
        words={one: said for one, key in keys.items() if (said := _words(one, key, cells, existing, broken, rows))},
        behaviours={one: alike[key] for one, key in keys.items()} if rows or broken else {},
        seconds=round(sum(cell.seconds for cell in cells.values()), 1),
    )


def _broken(
    columns: Sequence[str], cells: Mapping[tuple[str, str], CrossCell], existing: ExistingRun
) -> dict[str, tuple[str, ...]]:
    ran = {key: cells[existing.digest, key] for key in columns if existing.stable and (existing.digest, key) in cells}
    return {key: tuple(sorted(cell.outcomes)) for key, cell in ran.items()} if len(ran) == len(columns) else {}


def _words(
    candidate: str,
    key: str,
    cells: Mapping[tuple[str, str], CrossCell],
    existing: ExistingRun,
    broken: Mapping[str, Collection[str]],
    rows: Sequence[CrossRow],
) -> dict[str, str]:
    """Return the output of the tests that count against one candidate, the project's own first.

    Tests that fail on the base as well say nothing about it.
    """
    printed = {test: said for (_, patch), cell in cells.items() if patch == key for test, said in cell.words.items()}
    own = cells[existing.digest, key].words if (existing.digest, key) in cells else {}
    found = [(test, own[test]) for test in sorted(broken.get(key, ())) if test in own][:NAMED]
    found += [(test, printed.get(test, "fails")) for test in failing(candidate, rows)[:NAMED]]
    return dict(found)


def failing(candidate: str, rows: Sequence[CrossRow]) -> list[str]:
    """Return the tests by attempts that count and that a candidate fails; those that pass on the base first."""
    against = [row for row in rows if row.counts and row.outcomes[candidate] != "passed"]
    return list(dict.fromkeys(row.test for row in sorted(against, key=lambda row: not row.guard)))


def _tests(
    voice: AuthoredTests, ran: Mapping[str, CrossCell], known: Collection[str], stable: Collection[str]
) -> list[str]:
    """Return the tests in the voice's files with a stable outcome on the base; import errors are inconclusive.

    The user's tests and unmodified tests of the project belong to no author.
    """
    own = {
        test
        for cell in ran.values()
        for test, outcome in cell.outcomes.items()
        if outcome != "error" and test not in known and not set(files_of(test)).isdisjoint(voice.files)
    }
    kept, base = set(stable), ran[""].outcomes
    if voice.only_failing:
        return reproductions(ran[""], own)[:MOST_TESTS]
    able = [test for test in own if base.get(test) == "failed" or (base.get(test) == "passed" and test not in kept)]
    return sorted(able)[:MOST_TESTS]


def reproductions(base: CrossCell, tests: Collection[str]) -> list[str]:
    """Return the tests that fail on the base by what they check, not by an import or syntax error.

    Args:
        base: the run on the base, with the first lines of what failing tests print.
        tests: the tests to choose from.
    """
    return sorted(
        test for test in tests if base.outcomes.get(test) == "failed" and not _UNLOADED.match(base.words.get(test, ""))
    )


def _written(
    voice: AuthoredTests,
    test: str,
    keys: Mapping[str, str],
    ran: Mapping[str, CrossCell],
    credible: frozenset[str],
) -> Written:
    """What a test says of the patches.

    Args:
        voice: the tests that it belongs to.
        test: id of the test.
        keys: columns by candidate.
        ran: the runs of the voice's tests, by column; empty for the base.
        credible: columns with the best evidence; others are known to be worse, and confirm nothing.
    """
    passing = {key for key, cell in ran.items() if cell.outcomes.get(test) == "passed"}
    own = frozenset(keys[one] for one in voice.authors if one in keys)
    return Written(voice.digest, test, own, "" in passing, frozenset(passing - {""}), credible)


def _row(voice: AuthoredTests, test: Written, keys: Mapping[str, str], ran: Mapping[str, CrossCell]) -> CrossRow:
    outcomes = {key: cell.outcomes.get(test.test, "missing") for key, cell in ran.items()}
    return CrossRow(
        author=voice.authors[0],
        authors=voice.authors,
        test=test.test,
        base=outcomes[""],
        outcomes={one: outcomes[key] for one, key in keys.items()},
        counts=test.counts(set(keys.values())),
        guard=test.guard,
    )


def with_cross(candidate: Candidate, table: CrossTable) -> Candidate:
    """Add the table's results to a candidate: a class within its evidence class, and text for readers."""
    rank = PLACES * candidate.evidence_rank + table.ranks.get(candidate.id, 0)
    evidence = "\n".join(text for text in (candidate.evidence, said_of(candidate.id, table)) if text)
    behaviour = table.behaviours.get(candidate.id, "")
    return candidate.model_copy(update={"evidence_rank": rank, "evidence": evidence, "behaviour": behaviour})


def said_of(candidate: str, table: CrossTable) -> str:
    """Summarise one candidate in numbers and test ids; empty if no executed test distinguishes patches."""
    return "\n".join(line for line in (_of_existing(candidate, table), _of_written(candidate, table)) if line)


def failures_of(candidate: str, table: CrossTable, chars: int = 600) -> str:
    """Return the first output of a candidate's failing tests, for the rollout that continues from it.

    Args:
        candidate: name of the candidate.
        table: the heat's table.
        chars: maximum number of characters.
    """
    return failures_text(table.words.get(candidate, {}), chars)


def failures_text(words: Mapping[str, str], chars: int = 600) -> str:
    """Format one line per failing test, capped at `chars`."""
    said = [f"- {test}: {on_one_line(text)}" for test, text in words.items()]
    return "\n".join(line[: chars // 2] for line in said)[:chars]


def _of_existing(candidate: str, table: CrossTable) -> str:
    if not table.existing or candidate not in table.broken:
        return ""
    broken = table.broken[candidate]
    if not broken:
        return f"The project's own tests: all {table.existing} that pass without the change pass with it."
    named = ", ".join(broken[:NAMED]) + (f" and {len(broken) - NAMED} more" if len(broken) > NAMED else "")
    others = [one for one in table.broken if one != candidate and not set(broken) <= set(table.broken[one])]
    kept = "other attempts keep them" if others else "no other attempt keeps them"
    failing = f"{len(broken)} of {table.existing} that pass without the change fail"
    return f"The project's own tests: {failing} ({named}); {kept}."


def _of_written(candidate: str, table: CrossTable) -> str:
    counting = [row for row in table.rows if row.counts]
    if not counting or candidate not in table.shares:
        return ""
    attempts = "1 attempt" if len(table.voices) == 1 else f"{len(table.voices)} attempts"
    passed = f"Tests that {attempts} wrote and that some patches fail: {_passes(candidate, counting)}"
    if len(table.voices) == 1 or table.shares[candidate] in (0.0, 1.0):
        return f"{passed}."
    return f"{passed} ({100 * table.shares[candidate]:.0f} % if the tests of each attempt count the same)."


def _passes(candidate: str, counting: Sequence[CrossRow]) -> str:
    """How many tests a candidate passes, by kind if there are both: what worked before is compared first."""
    kinds = [[row for row in counting if row.guard is guard] for guard in (True, False)]
    passed = [sum(row.outcomes[candidate] == "passed" for row in rows) for rows in kinds]
    if not all(kinds):
        return f"passes {sum(passed)} of {len(counting)}"
    guards, asked = (f"{count} of {len(rows)}" for count, rows in zip(passed, kinds, strict=True))
    return f"passes {guards} that pass without the change, which are compared first, and {asked} that fail without it"
