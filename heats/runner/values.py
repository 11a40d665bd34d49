"""How far an attempt got, as a number: for context rules that decide which attempts to continue."""

from envs.base import Evidence

_CLASSES = ((0.0, 0.09), (0.1, 0.09), (0.2, 0.69), (0.9, 0.1))
"""Lowest value and width of the evidence ranks 0 to 3: widest for some tests fixed, where tests tell attempts apart."""
_SUSPECT = 0.005
"""How far an attempt with signs of tampering lies below the lowest value of its rank."""
_TESTS = 0.9
"""Part of the width that tests decide; the tournament decides the rest."""


def value_of(evidence: Evidence | None, evidence_class: int, place: float) -> float:
    """Value an attempt from 0 to 1: by its evidence class, then the user's tests, then its place in its tournament.

    A higher class always has a higher value.

    Args:
        evidence: its evidence; None if nothing was run.
        evidence_class: see `candidates.evidence_class`; from -1 to 6.
        place: in the ranking, 1 for the first, and less for those after it; 0 without a change.
    """
    rank, clean = divmod(evidence_class + 1, 2)
    lowest, width = _CLASSES[rank]
    if not clean:
        return max(lowest - _SUSPECT, 0.0)
    return lowest + width * (_TESTS * tests_share(evidence) + (1 - _TESTS) * place)


def tests_share(evidence: Evidence | None) -> float:
    """Share of the user's failing tests that pass now, times the share of the passing ones that still do."""
    if evidence is None or evidence.after is None:
        return 0.0
    wanted = len(evidence.fixed) + len(evidence.still_failing)
    passed = len(evidence.before.ids("passed")) if evidence.before is not None else 0
    kept = max(1 - len(evidence.broken) / max(passed, 1), 0.0)
    return kept * len(evidence.fixed) / wanted if wanted else 0.0
