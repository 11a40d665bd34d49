"""Check a summary's claims against the trajectory: confirmed, contradicted, or unconfirmed.

A claim is contradicted only if the record shows the opposite: in the test run it names, by that run's last summary
line, on the state of the tree it names. Several runs in one call, a hidden exit code, a script that only prints, or a
diff that quotes a failure leave a claim unconfirmed, which counts neither for nor against it.
"""

import re
from collections.abc import Sequence

from agents.trajectory import Trajectory
from summarizer.record import Ran, ran_in
from summarizer.results import exception_in, failing_in, own_verdict
from summarizer.runs import Run, runs_in
from summarizer.schema import CheckedClaim, Claim, Mark
from summarizer.similar import likeness, narrowed

Finding = tuple[Mark, str]
"""A mark, and the reason if the claim is not confirmed."""

_NAMED, _SAME = 0.5, 0.95
_CONFIRMED: Finding = ("confirmed", "")
_EXCUSES = re.compile(
    r"\b(?:pre-?exist\w*|unrelated|known|expected\w*|xfail\w*|flaky|network|offline|environment|locale|missing|not due"
    r"|nothing to do|remain\w*|except|apart from|besides|skip\w*|needs?|independent\w*|upstream)\b",
    re.IGNORECASE,
)
_COMPARES = re.compile(
    r"\b(?:base|before|without|same|already|also|too|only|but|others?|unchanged|likewise|as well|still|stash\w*"
    r"|separate)\b",
    re.IGNORECASE,
)
_ADMITS = re.compile(r"\b(?:fail\w*|errors?|broke\w*|red|not (?:work|pass)\w*)\b", re.IGNORECASE)
_SHOWS_BY_PASSING = re.compile(
    r"\b(?:prints?|printed|output|wrong\w*|symptom|asserts? (?:the|that)|shows?|instead of|although|does not|do not"
    r"|doesn't|no test|not cover\w*|blind|unnoticed|silent\w*|warns?|warnings?)\b",
    re.IGNORECASE,
)
_RAISES = re.compile(r"\b(?:rais\w+|reject\w*|refus\w+|exception|error\w*)\b|\b\w+(?:Error|Exception)\b", re.IGNORECASE)
_COMPLAINS = re.compile(r"\b(?:bug|crash\w*|symptom|unexpected\w*|traceback|fails?|failed|wrong\w*|no error)\b", re.I)
_EXITS = re.compile(
    r"\b(?:exit\w*|code|status|error|usage|refus\w+|reject\w+|expected\w*|non-?zero|returns?)\b", re.IGNORECASE
)
_QUOTED = re.compile(r"`([^`]+)`|'([^']+)'|\"([^\"]+)\"")
_FILE = re.compile(r"(?<![\w/])(?:\.{0,2}/)?[\w-]+(?:/[\w-]+)*\.[a-zA-Z]\w{0,5}(?::\d+)?\b")
_PARTICULAR = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]\w)|\b\w+(?:Error|Exception)\b")
_RUNS_ON = re.compile(
    r"\b(?:tim\w*|stop\w*|hang\w*|hung|stuck|never|slow\w*|loop\w*|runs? on|keeps?|serv\w+|still)\b", re.I
)


def check_claims(claims: tuple[Claim, ...], trajectory: Trajectory) -> tuple[CheckedClaim, ...]:
    """Mark each claim according to the trajectory's record, with a reason unless it is confirmed."""
    record, steps = ran_in(trajectory), {step.id for step in trajectory.steps}
    return tuple(_check(claim, record, steps) for claim in claims)


def _check(claim: Claim, record: Sequence[Ran], steps: set[int]) -> CheckedClaim:
    here = [one for one in record if claim.step_id in one.steps]
    scores = [likeness(claim.command, one.command) for one in here]
    best = max(scores, default=0.0)
    if best < _NAMED:  # a script is often described instead of quoted
        shown = claim.outcome != "passes" and any(_quotes(claim.finding, one) for one in here)
        found: list[Finding] = [_CONFIRMED if shown else ("unconfirmed", _elsewhere(claim, record, steps))]
    else:
        named = [one for one, score in zip(here, scores, strict=True) if score == best]
        found = [_judge(claim, one) for one in named]
        if found[0][0] == "unconfirmed" and _as_before(claim, named[-1], record):
            found = [_CONFIRMED]
    mark, note = _one_of(found)
    return CheckedClaim(**claim.model_dump(), mark=mark, note=note)


def _elsewhere(claim: Claim, record: Sequence[Ran], steps: set[int]) -> str:
    runs = [one for one in record if likeness(claim.command, one.command) >= _SAME]
    if runs:
        return f"ran in step {runs[-1].steps[0]}, not {claim.step_id} ({runs[-1].ending})"
    if claim.step_id not in steps:
        return f"there is no step {claim.step_id}"
    return f"no command like this was found in step {claim.step_id}"


def _one_of(found: Sequence[Finding]) -> Finding:
    """Combine the marks of several runs: confirmed by any, contradicted only by all."""
    if _CONFIRMED in found:
        return _CONFIRMED
    doubtful = [one for one in found if one[0] == "unconfirmed"]
    return doubtful[0] if doubtful else found[0]


def _judge(claim: Claim, ran: Ran) -> Finding:
    if ran.status in ("", "rejected", "refused", "indeterminate"):
        return "unconfirmed", {
            "": "no result was recorded",
            "rejected": "the call was not run",
            "refused": "the call was not run",
        }.get(ran.status, "its end was not seen")
    if claim.outcome == "other":
        return _CONFIRMED
    runs = runs_in(ran)
    if ran.status in ("timeout", "oom") and not any(run.result for run in runs):
        return _cut_off(claim, ran.status)
    if not runs:
        return _printed(claim, ran)
    chosen = _on_tree(claim, narrowed(claim.command, runs))
    if not chosen:
        return "unconfirmed", "the call shows no run on that state of the tree"
    mark, note = _weigh(claim, chosen, ran)
    guessed = claim.tree == "base" and len(chosen) < len(runs) and all(run.tree != "base" for run in chosen)
    return ("unconfirmed" if guessed and mark == "contradicted" else mark), note


def _on_tree(claim: Claim, runs: Sequence[Run]) -> Sequence[Run]:
    """Select the runs on the tree state that the claim names; all of them if the call does not distinguish states."""
    trees = {run.tree for run in runs}
    if claim.tree == "other" or trees == {"current"} or None in trees:
        return runs
    if claim.tree == "base":
        wanted = {"base"} if "base" in trees else trees - {"edited"} or trees
    else:
        wanted = {"edited"} if "edited" in trees else {"current", "elsewhere"}
    return [run for run in runs if run.tree in wanted]


def _weigh(claim: Claim, chosen: Sequence[Run], ran: Ran) -> Finding:
    """Weigh the claim against the runs it may refer to, preferring those that reported results."""
    runs = [run for run in chosen if run.tests or run.result] or list(chosen)
    states = {run.state for run in runs}
    if len(runs) > 1 and len(states) > 1:
        same = {run.state for run in runs if run.counts_in(claim.finding)}
        if same == {"clean" if claim.outcome == "passes" else "failing"}:
            return _CONFIRMED
        failing = sum(run.state == "failing" for run in runs)
        return "unconfirmed", f"{len(runs)} runs in this call, {failing} of them with failures"
    one = runs[-1]
    match one.state:
        case "clean":
            mark, note = _clean(claim, one)
            others = len(runs) < len(chosen) and claim.outcome != "passes"
            return ("unconfirmed" if others and mark == "contradicted" else mark), note
        case "failing":
            return _failing(claim, one, ran)
        case "empty":
            none_ran = claim.outcome == "passes" and "skipped" not in one.text
            return ("contradicted" if none_ran else "unconfirmed"), f"no test ran: {one.text}"
        case _:
            return _script(claim, one, ran)


def _clean(claim: Claim, run: Run) -> Finding:
    if claim.outcome == "passes":
        if run.other_number_in(claim.finding):
            return "unconfirmed", f"the run reports: {run.text}"
        return _CONFIRMED
    if claim.outcome == "reproduces" and _SHOWS_BY_PASSING.search(claim.finding):
        return "unconfirmed", f"the run reports: {run.text}"
    return ("contradicted" if run.sure else "unconfirmed"), f"the run reports: {run.text}"


def _failing(claim: Claim, run: Run, ran: Ran) -> Finding:
    if claim.outcome != "passes":
        return _CONFIRMED
    if _explained(claim.finding) or _passed_by_name(claim.finding, ran.output):
        stated = run.counts_in(claim.finding)
        return "unconfirmed", "no earlier run has the same failures" if stated else f"the run reports: {run.text}"
    return ("contradicted" if run.sure else "unconfirmed"), f"the run reports: {run.text}"


def _as_before(claim: Claim, ran: Ran, record: Sequence[Ran]) -> bool:
    """Whether a `passes` claim states its run's failures as those of an earlier run, and the record has such a run."""
    if claim.outcome != "passes" or not _COMPARES.search(claim.finding):
        return False
    stated = [run.result for run in runs_in(ran) if run.result and run.result.failed and run.counts_in(claim.finding)]
    if not stated:
        return False
    earlier = [one for one in record if one.steps[0] < ran.steps[0]]
    if any(run.result.failed == stated[-1].failed for one in earlier for run in runs_in(one) if run.result):
        return True
    names = failing_in(ran.output)  # of part of the tests, of which an earlier run had all
    return len(names) == stated[-1].failed and any(names <= failing_in(one.output) for one in earlier)


def _explained(finding: str) -> bool:
    """Whether a finding admits failures and explains why they do not count."""
    return bool(_EXCUSES.search(finding) or (_COMPARES.search(finding) and _ADMITS.search(finding)))


def _passed_by_name(finding: str, output: str) -> bool:
    """Whether the finding is about tests that the output lists as passed."""
    for name in re.findall(r"\b(?:test_\w+|Test\w+)\b", finding):
        lines = [line for line in output.split("\n") if re.search(rf"\b{name}\b", line)]
        if any(re.search(r"\bPASS(?:ED)?\b|\bok\b", line) for line in lines):
            return not any(re.search(r"\bFAIL(?:ED)?\b|\bERROR\b", line) for line in lines)
    return False


def _cut_off(claim: Claim, status: str) -> Finding:
    text = "stopped at its time limit" if status == "timeout" else "killed: out of memory"
    if claim.outcome == "passes":
        return ("unconfirmed" if _RUNS_ON.search(claim.finding) else "contradicted"), text
    return _CONFIRMED if _RUNS_ON.search(claim.finding) else ("unconfirmed", text)


def _printed(claim: Claim, ran: Ran) -> Finding:
    """Judge a call that only prints existing content: it confirms what it quotes and contradicts nothing."""
    if _quotes(claim.finding, ran):
        return _CONFIRMED
    return "unconfirmed", "the call ran nothing"


def _script(claim: Claim, run: Run, ran: Ran) -> Finding:
    """Judge a program that is not a test runner, or a test runner whose report is not shown."""
    crash, verdict = _crash(run, ran), own_verdict(ran.output)
    if claim.outcome != "passes":
        if crash or verdict is False or run.exit_code not in (0, None) or _quotes(claim.finding, ran):
            return _CONFIRMED
        mark: Mark = "contradicted" if run.tests and verdict else "unconfirmed"
        return mark, "the output does not show it"
    if run.result is not None:
        return "unconfirmed", f"the run reports: {run.text}, and ended with exit {run.exit_code}"
    if crash:
        return _crashed(claim, crash, run)
    if run.exit_code not in (0, None):
        meant = _EXITS.search(claim.finding) or _explained(claim.finding)
        return ("unconfirmed" if meant else "contradicted"), f"ended with exit {run.exit_code}"
    if verdict is False and not _explained(claim.finding):
        return "contradicted", "its last line says that it failed"
    if verdict or (run.exit_code == 0 and run.checks) or _quotes(claim.finding, ran):
        return _CONFIRMED
    if run.exit_code == 0:
        return "unconfirmed", "exit 0, which says nothing of what it printed"
    return "unconfirmed", "the record does not show how it ended"


def _crash(run: Run, ran: Ran) -> str:
    """Name of the exception that ended the program; empty if none did."""
    if run.exit_code == 0 or (run.exit_code is None and "Traceback (most recent call last)" not in ran.output):
        return ""
    return exception_in(ran.output)


def _crashed(claim: Claim, crash: str, run: Run) -> Finding:
    """Judge a program that raised: the exception may be the one the task asks for, unless it is an assertion."""
    meant = _explained(claim.finding) or _RAISES.search(claim.finding)
    if crash != "AssertionError" and meant and not _COMPLAINS.search(claim.finding):
        return "unconfirmed", f"ended with {crash}"
    return "contradicted", f"ended with {crash}" + (f" and exit {run.exit_code}" if run.exit_code else "")


def _quotes(finding: str, ran: Ran) -> bool:
    """Whether the output shows what a finding names: quotes (even if cut), numbers, exceptions, or lines of files."""
    quoted = [text.rstrip(".… ") for groups in _QUOTED.findall(finding) for text in groups if text.rstrip(".… ")]
    particular = quoted or _PARTICULAR.findall(finding)
    shown = any(len(part) > 1 for part in particular) and all(part in ran.output for part in particular)
    if shown or quoted:
        return shown
    named = _FILE.findall(finding)
    return any(":" in name and name in ran.output for name in named) and all(
        name in ran.output or name in ran.command for name in named
    )
