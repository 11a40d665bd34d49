"""Evidence in words, for judges and refiners: what was run on a patch, and what the result means."""

from collections.abc import Collection, Iterator, Sequence

from agents.base import BaseRun
from envs.base import Evidence, TestReport
from envs.tampering import Sign

NAMED = 8
"""Number of test ids named in a sentence; the others are counted."""
_SIGNS = 5


def measured(evidence: Evidence | None, signs: Sequence[Sign] = ()) -> str:
    """The results of the user's test command on a patch, and signs of tampering, in a few lines; facts only."""
    if evidence is not None and evidence.verdict == "no_patch":
        return "The attempt changed nothing."
    lines = list(_sentences(evidence)) if evidence is not None else []
    if signs:
        lines.append("Signs that the patch works on its tests instead of its task (found by a lint, no proof):")
        lines += [f"- {sign}" for sign in signs[:_SIGNS]]
    return "\n".join(lines)


def base_run(report: TestReport | None) -> BaseRun | None:
    """The result of the test command on the unpatched tree, as shown to agents."""
    if report is None:
        return None
    failing = report.ids("failed", "error")
    ending = {
        "passed": "passes, so it does not show the problem, and ends",
        "timeout": "does not end and is stopped",
        "oom": "runs out of memory",
    }.get(report.status, f"ends with exit code {report.exit_code}")
    return BaseRun(ending, round(report.duration_s), failing[:NAMED], len(failing[NAMED:]))


def _sentences(evidence: Evidence) -> Iterator[str]:
    before, after = evidence.before, evidence.after
    if after is None:
        yield f"{_sentence(evidence.reason)}"
        return
    passing = len(after.ids("passed"))
    if not after.tests and not evidence.broken:
        yield _sentence(evidence.reason)
    elif evidence.broken:
        yield f"Breaks {_tests(evidence.broken)} that passed before: {_named(evidence.broken)}."
        if evidence.fixed:
            yield f"{_tests(evidence.fixed)} that failed before {_pass(evidence.fixed)} now: {_named(evidence.fixed)}."
    elif evidence.fixed and not evidence.still_failing:
        yield f"Passes all {passing}, {len(evidence.fixed)} of which failed before: {_named(evidence.fixed)}."
    elif evidence.fixed:
        yield f"Fixes {_tests(evidence.fixed)} that failed before and breaks none: {_named(evidence.fixed)}."
    elif not evidence.still_failing and evidence.verdict != "verified":
        yield _sentence(evidence.reason)
    if evidence.verdict == "passes" and evidence.fixed and evidence.strength_reasons:
        yield f"Not confirmed: {evidence.strength_reasons[0]}."
    yield from _still(evidence.still_failing, before)
    if evidence.verdict == "unverified" and evidence.rank == 0 and not evidence.broken:
        yield _sentence(evidence.reason)
    if evidence.restored:
        yield f"This was run without the change's own edits of {_named(evidence.restored)}."


def _still(failing: Collection[str], before: TestReport | None) -> Iterator[str]:
    """Failures that already existed say nothing about a change; new ones do."""
    known = set(before.ids("failed", "error")) if before else set()
    old = [test for test in failing if test in known]
    new = [test for test in failing if test not in known]
    if new:
        yield f"{_tests(new)} that did not run before {_fail(new)}: {_named(new)}."
    if old and len(old) == len(known):
        meaning = "they say nothing of the change"
        if not new:
            meaning = "either the change does not fix what the task asks for, or this command does not test it"
        yield f"The same {_tests(old)} {_fail(old)} without any change: {meaning} ({_named(old)})."
    elif old:
        yield f"{_tests(old)} still {_fail(old)}, as without any change: {_named(old)}."


def _tests(ids: Collection[str]) -> str:
    return "1 test" if len(ids) == 1 else f"{len(ids)} tests"


def _pass(ids: Collection[str]) -> str:
    return "passes" if len(ids) == 1 else "pass"


def _fail(ids: Collection[str]) -> str:
    return "fails" if len(ids) == 1 else "fail"


def _named(ids: Collection[str]) -> str:
    names = list(ids)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
