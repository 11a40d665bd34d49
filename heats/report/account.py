"""An account of one task (`account.md`), for the person who decides on the patch.

First come the verdict, the change, what was not checked, and the strongest alternative; then why this patch was chosen,
its tests, and what else was tried.
"""

from collections.abc import Iterator
from pathlib import Path

from core.sanitize import screen_text
from envs.base import Evidence, TestReport
from heats import formatting as say
from heats.report.decision import Decision, Rival, read_decision
from heats.report.markdown import code, fence
from heats.report.routed import routed
from heats.report.servers import served
from heats.store.cross_store import CrossStore
from heats.store.cross_table import said_of
from heats.store.faults import END_STATE
from heats.store.reader import RolloutFacts, TaskFacts, read_events, read_task, statement
from heats.store.store import RunStore
from summarizer.schema import Summary
from tournament.base import Match
from tournament.reasons import resolved, tally

MAX_PATCH = 20_000
MAX_TESTS = 12

_FILES = (
    ("patch", "patch.diff"),
    ("end state", END_STATE),
    ("trajectory", "trajectory.json"),
    ("evidence", "evidence.json"),
)
_GRADES = {"pass": ", passes the hidden tests", "fail": ", fails the hidden tests", "invalid": ", could not be graded"}
_RANKS = {
    3: "what failed before now passes and nothing broke",
    2: "some failing tests fixed, none broken",
    1: "nothing changed",
    0: "tests broken, or it does not apply",
}


def account(run: RunStore, task_id: str) -> str:
    """The account of one task, finished or still running, as Markdown.

    Everything that an agent, a test or the issue says is in code spans and fences.
    """
    task = read_task(run, task_id)
    chosen = task.find(task.selected)
    found = read_decision(task, chosen) if chosen is not None else None
    parts = [
        f"# {_verdict(task)}",
        f"Task {code(task_id)} in run {code(run.directory.name)}, base commit {_commit(task)}.",
        *_change(found),
        *_doubts(found),
        *_tests(task, chosen),
        *_alternative(found),
        *_patch(task, chosen),
        *_asked(task),
        *_why(task, chosen),
        *_rollouts(task),
        *_failures(task),
        *_cost(run, task),
        *_files(run, task, chosen),
    ]
    return "\n\n".join(parts) + "\n"


def _verdict(task: TaskFacts) -> str:
    result = task.result
    if result is None:
        return "Not finished"
    graded = {
        "solved": "Solved: the submission passes the hidden tests",
        "not_solved": "Not solved: the submission fails the hidden tests",
    }
    if (ending := task.ending("pass")) in graded:
        return graded[ending]
    said = {
        "verified": "Verified: the patch fixes what failed and breaks nothing",
        "passes": "Passes, not verified: the tests pass with the patch, but this was not confirmed",
        "unverified": "Not verified: this is the best candidate, but the tests do not prove it",
        "no_patch": "No patch: no rollout produced a usable change",
        "error": "No result: infrastructure failed",
        "budget": "No result: a budget limit was reached first",
    }
    return said[result.status]


def _commit(task: TaskFacts) -> str:
    commit = task.result.base_commit if task.result else ""
    return code(commit) if commit else "not known"


def _change(found: Decision | None) -> Iterator[str]:
    if found is None or not (found.change or found.files):
        return
    yield "## The change"
    files = ", ".join(code(one, 120) for one in found.files[:MAX_TESTS])
    size = f"+{found.added} \u2212{found.removed} lines" + (f" in {files}" if files else "")
    lines = [f"- As the attempt describes it: {code(found.change, 1000)}"] if found.change else []
    lines += [f"- Decision: {code(one, 300)}" for one in found.decisions]
    yield "\n".join([*lines, f"- Size: {size}"])


def _doubts(found: Decision | None) -> Iterator[str]:
    if found is not None and (found.doubts or found.unchecked):
        yield "## What was not checked, and open doubts"
        own = [f"- Doubt stated by the attempt: {code(one, 300)}" for one in found.doubts]
        yield "\n".join([*own, *(f"- {one}" for one in found.unchecked)])


def _alternative(found: Decision | None) -> Iterator[str]:
    if found is not None:
        yield "## The strongest alternative"
        yield _rival(found.rival) if found.rival is not None else "All candidates made the same change."


def _rival(rival: Rival) -> str:
    lines = [f"- {code(rival.id)}, patch of {say.size(rival.patch_bytes)}: {code(rival.did, 400)}"]
    lines += [f"- Executed evidence: {code(rival.evidence, 240)}"] if rival.evidence else []
    judge = f". A judge: {code(rival.reason, 300)}" if rival.reason else ""
    return "\n".join([*lines, f"- Not chosen: {rival.lost}{judge}"])


def _asked(task: TaskFacts) -> Iterator[str]:
    trajectory = None
    if not (task.store.directory / "task.json").exists():
        first = next((one for one in task.rollouts() if one.outcome is not None), None)
        trajectory = task.store.rollout(first.id).trajectory() if first is not None else None
    asked = statement(task.store, trajectory)
    if asked:
        yield "## What was asked"
        yield fence(asked, limit=3000)


def _why(task: TaskFacts, chosen: RolloutFacts | None) -> Iterator[str]:
    if task.result is None or chosen is None:
        return
    yield "## Why this patch"
    lines = [f"- Selected: {code(chosen.id)}, one of {say.several(sum(map(len, task.heats)), 'rollout')}."]
    if task.result.detail:
        lines.append(f"- Verdict: {code(task.result.detail)}")
    if chosen.evidence is not None:
        lines += [f"- Not confirmed: {code(reason)}" for reason in chosen.evidence.strength_reasons]
        rank = chosen.evidence.rank
        same = sum(one.evidence is not None and one.evidence.rank == rank for one in task.rollouts())
        lines.append(
            f"- Evidence class {rank} ({_RANKS.get(rank, 'other')}), shared by {say.several(same, 'rollout')}."
        )
    for heat, bracket in enumerate(task.brackets):
        table = CrossStore(task.store.directory).table(heat)
        said = said_of(chosen.id, table) if table is not None else ""
        lines += [f"- Heat {heat}: {one}" for one in said.splitlines()]
        if bracket is not None:
            lines += [
                f"- {_match(heat, match, chosen.id)}" for match in bracket.matches if chosen.id in match.contestants
            ]
            same_patch = bracket.merged.get(chosen.id, ())
            if same_patch:
                names = ", ".join(f"`{one}`" for one in same_patch)
                lines.append(f"- {say.several(len(same_patch), 'other candidate')} made the same change: {names}.")
    yield "\n".join(lines)


def _match(heat: int, match: Match, rollout: str) -> str:
    others = [one for one in match.contestants if one != rollout]
    if not others:
        return f"Heat {heat}, match {code(match.id)}: no opponent."
    place, against = f"Heat {heat}, match {code(match.id)}", ", ".join(map(code, others))
    if match.decided_by == "unheard":
        why = code(match.votes[0].reason, 240)
        return f"{place}: no vote on it against {against} could be read ({why}); the winner was chosen at random."
    count = ", ".join(f"{code(one)} {say.votes(votes)}" for one, votes in tally(match).items())
    abstained = sum(vote.choice is None for vote in match.votes)
    parts = [
        f"votes {count}" if match.votes else "",
        f"{abstained} abstained" if abstained else "",
        say.decision(match),
    ]
    ended = "won" if match.winner == rollout else "lost"
    reason = next((resolved(vote) for vote in match.votes if vote.choice == match.winner and vote.reason), "")
    because = f" A judge: {code(reason, 240)}" if reason else ""
    return f"{place}: {ended} against {against} ({', '.join(part for part in parts if part)}).{because}"


def _patch(task: TaskFacts, chosen: RolloutFacts | None) -> Iterator[str]:
    if chosen is None:
        return
    data = task.store.rollout(chosen.id).patch().data
    if data:
        yield f"## The patch\n\n{say.size(len(data))}; the exact bytes are in the file named below."
        yield fence(screen_text(data, MAX_PATCH * 2), "diff", MAX_PATCH)


def _tests(task: TaskFacts, chosen: RolloutFacts | None) -> Iterator[str]:
    evidence = chosen.evidence if chosen is not None else task.result.evidence if task.result else None
    before = evidence.before if evidence is not None and evidence.before is not None else task.baseline
    if before is None and evidence is None:
        return
    after = evidence.after if evidence is not None else None
    command = next((report.command for report in (after, before) if report is not None), "")
    lines = [f"- Command: {code(command)}"]
    lines += [f"- Before: {_report(before)}", f"- After: {_report(after)}"]
    lines += list(_changes(evidence)) if evidence is not None else []
    yield "## Tests before and after"
    yield "\n".join(lines)
    if after is not None and after.status != "passed" and after.output:
        yield fence(after.output, limit=3000)


def _report(report: TestReport | None) -> str:
    return say.tests(report) + (f" in {say.duration(report.duration_s)}" if report is not None else "")


def _changes(evidence: Evidence) -> Iterator[str]:
    named = [("Fixed", evidence.fixed), ("Broken", evidence.broken), ("Still failing", evidence.still_failing)]
    named.append(("Restored before the test run, because patches must not change tests", evidence.restored))
    for name, tests in named:
        if tests:
            shown = ", ".join(code(test, 120) for test in tests[:MAX_TESTS])
            more = f" and {len(tests) - MAX_TESTS} more" if len(tests) > MAX_TESTS else ""
            yield f"- {name}: {shown}{more}"


def _rollouts(task: TaskFacts) -> Iterator[str]:
    for heat, rollouts in enumerate(task.heats):
        yield f"## Heat {heat}"
        kept = task.kept(heat)
        lines = []
        for one in rollouts:
            summary = task.store.rollout(one.id).summary() if one.outcome is not None else None
            mark = " (selected)" if one.id == task.selected else " (kept)" if one.id in kept else ""
            grade = _GRADES.get(one.grade.outcome, "") if one.grade is not None else ""
            lines.append(f"- {code(one.id)}{mark}: {_rollout(one)}{grade}.{_did(summary)}")
        yield "\n".join(lines)


def _rollout(one: RolloutFacts) -> str:
    if one.outcome is None:
        return "not finished"
    parts = [say.ending(one.outcome.exit), say.several(one.outcome.steps, "step")]
    parts.append(f"patch of {say.size(one.outcome.patch_bytes)}" if one.outcome.patch_bytes else "no patch")
    if one.evidence is not None and one.evidence.verdict != "no_patch":
        parts.append(f"{say.STATUS_WORDS[one.evidence.verdict]} ({code(one.evidence.reason, 160)})")
    return ", ".join(parts)


def _did(summary: Summary | None) -> str:
    told = (summary.progress or summary.problem) if summary is not None else ""
    return f" {code(told, 240)}" if told else ""


def _failures(task: TaskFacts) -> Iterator[str]:
    lines = []
    for one in task.rollouts():
        outcome = one.outcome
        if outcome is None:
            continue
        why = outcome.error or "; ".join(outcome.rejected or outcome.notes)
        if why or one.infrastructure_failed:
            kind = "patch refused" if outcome.rejected else "patch" if outcome.notes else "infrastructure"
            lines.append(f"- {code(one.id)}: {kind}: {code(why or outcome.detail)}")
    if lines:
        yield "## What failed"
        yield "\n".join(lines)


def _cost(run: RunStore, task: TaskFacts) -> Iterator[str]:
    if task.result is not None:
        yield f"## Cost\n\n{say.spent(task.result.usage)}."
        yield from (f"{one}." for one in served(read_events(run)))
        yield from (f"In the whole run, {code(one)}." for one in routed(run))


def _files(run: RunStore, task: TaskFacts, chosen: RolloutFacts | None) -> Iterator[str]:
    yield "## Files"
    place = task.store.directory.relative_to(run.directory)
    lines = [f"- run: {code(str(run.directory), 1000)}", f"- this task: {code(str(place), 1000)}"]
    if chosen is not None:
        folder: Path = place / chosen.id
        lines += [f"- {name}: {code(str(folder / file), 1000)}" for name, file in _FILES]
    yield "\n".join(lines)
