"""What was executed on every candidate, as a table, and what it says of each: pure functions.

Two kinds of tests are in it: the project's own, which pass on the base, and those that rollouts wrote.
`executed_order.py` says which of them count and in what order they put the candidates.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from envs.sentinel import candidates as files_of
from heats.store.executed_order import Written, behaviours, places, shares
from heats.store.records import CrossCell, CrossRow, CrossTable
from tournament.base import Candidate

MOST_TESTS = 100
"""Of one author; more are left out."""
PLACES = 4096
"""More than there are candidates: what was executed splits one evidence class in as many."""
NAMED = 3
"""Failing tests that are told with what they print."""


@dataclass(frozen=True, slots=True)
class AuthoredTests:
    """Test files that somebody wrote.

    Attributes:
        digest: of what they are.
        authors: rollouts whose patch holds exactly these; more than one have one voice together.
        files: paths of the files that hold tests.
    """

    digest: str
    authors: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExistingRun:
    """The project's own tests: the digest of what is run, the tests that pass on the base, and their files."""

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
    """Put cells together and rank.

    Args:
        field: candidates with a patch.
        cells: by digest of the tests and key of the patch they ran on, empty for the base. A voice of which one is
            missing, because its sandbox failed or the budget was spent, is left out, and so are the existing tests.
        known: ids of the user's own tests, which are no author's.
    """
    keys = {one.id: one.patch_key for one in field}
    columns = tuple(dict.fromkeys(keys.values()))
    rows: list[CrossRow] = []
    written: list[Written] = []
    for voice in voices:
        ran = {key: cells[voice.digest, key] for key in ("", *columns) if (voice.digest, key) in cells}
        if len(ran) == len(columns) + 1:
            for test in _tests(voice, ran, known, existing.stable):
                written.append(_written(voice, test, keys, ran))
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
        words={one: said for one, key in keys.items() if (said := _words(key, cells, [*voices, existing], broken))},
        behaviours={one: alike[key] for one, key in keys.items()} if rows or broken else {},
        seconds=round(sum(cell.seconds for cell in cells.values()), 1),
    )


def _broken(
    columns: Sequence[str], cells: Mapping[tuple[str, str], CrossCell], existing: ExistingRun
) -> dict[str, tuple[str, ...]]:
    ran = {key: cells[existing.digest, key] for key in columns if existing.stable and (existing.digest, key) in cells}
    return {key: tuple(sorted(cell.outcomes)) for key, cell in ran.items()} if len(ran) == len(columns) else {}


def _words(
    key: str,
    cells: Mapping[tuple[str, str], CrossCell],
    ran: Sequence[AuthoredTests | ExistingRun],
    broken: Mapping[str, Collection[str]],
) -> dict[str, str]:
    """What failing tests print with one patch: first the project's own."""
    order = sorted(ran, key=lambda one: isinstance(one, AuthoredTests))
    found = [item for one in order for item in _said(cells.get((one.digest, key)))]
    return dict(found[: 2 * NAMED])


def _said(cell: CrossCell | None) -> list[tuple[str, str]]:
    return list(cell.words.items())[:NAMED] if cell is not None else []


def _tests(
    voice: AuthoredTests, ran: Mapping[str, CrossCell], known: Collection[str], stable: Collection[str]
) -> list[str]:
    """Tests in the voice's files that pass or fail on the base, both times; an import error there says nothing.

    The user's tests are nobody's, and neither are those of the project's that the author left as they were.
    """
    own = {
        test
        for cell in ran.values()
        for test, outcome in cell.outcomes.items()
        if outcome != "error" and test not in known and not set(files_of(test)).isdisjoint(voice.files)
    }
    kept, base = set(stable), ran[""].outcomes
    able = [test for test in own if base.get(test) == "failed" or (base.get(test) == "passed" and test not in kept)]
    return sorted(able)[:MOST_TESTS]


def _written(voice: AuthoredTests, test: str, keys: Mapping[str, str], ran: Mapping[str, CrossCell]) -> Written:
    passing = {key for key, cell in ran.items() if cell.outcomes.get(test) == "passed"}
    own = frozenset(keys[one] for one in voice.authors if one in keys)
    return Written(voice.digest, test, own, "" in passing, frozenset(passing - {""}))


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
    """The candidate with what the table says of it: a class within its evidence class, and lines for readers."""
    rank = PLACES * candidate.evidence_rank + table.ranks.get(candidate.id, 0)
    evidence = "\n".join(text for text in (candidate.evidence, said_of(candidate.id, table)) if text)
    behaviour = table.behaviours.get(candidate.id, "")
    return candidate.model_copy(update={"evidence_rank": rank, "evidence": evidence, "behaviour": behaviour})


def said_of(candidate: str, table: CrossTable) -> str:
    """Lines on one candidate, in numbers and test ids; empty where nothing was executed that tells patches apart."""
    return "\n".join(line for line in (_of_existing(candidate, table), _of_written(candidate, table)) if line)


def failures_of(candidate: str, table: CrossTable, chars: int = 600) -> str:
    """What the tests that a candidate fails print first, for who goes on with it."""
    return failures_text(table.words.get(candidate, {}), chars)


def failures_text(words: Mapping[str, str], chars: int = 600) -> str:
    """A line on each failing test, capped."""
    said = [f"- {test}: {' '.join(text.split())}" for test, text in words.items()]
    return "\n".join(line[: chars // 2] for line in said)[:chars]


def _of_existing(candidate: str, table: CrossTable) -> str:
    if not table.existing or candidate not in table.broken:
        return ""
    broken = table.broken[candidate]
    if not broken:
        return f"the project's own tests: all {table.existing} that pass without the change pass with it"
    named = ", ".join(broken[:NAMED]) + (f" and {len(broken) - NAMED} more" if len(broken) > NAMED else "")
    others = [one for one in table.broken if one != candidate and not set(broken) <= set(table.broken[one])]
    kept = "other attempts keep them" if others else "no other attempt keeps them"
    failing = f"{len(broken)} of {table.existing} that pass without the change fail"
    return f"the project's own tests: {failing} ({named}); {kept}"


def _of_written(candidate: str, table: CrossTable) -> str:
    counting = [row for row in table.rows if row.counts]
    if not counting or candidate not in table.shares:
        return ""
    passed = sum(row.outcomes[candidate] == "passed" for row in counting)
    attempts = "1 attempt" if len(table.voices) == 1 else f"{len(table.voices)} attempts"
    share = f"{100 * table.shares[candidate]:.0f} % with one vote per author"
    return f"tests by {attempts} that tell the patches apart: passes {passed} of {len(counting)} ({share})"
