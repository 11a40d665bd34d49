"""The text of a proposal: commit message, title and pull-request text.

Everything written by an issue, a model or a test is in code spans and fences, where Markdown has no effect. In titles
and commit messages, which are not Markdown, whatever GitHub reacts to is escaped.
"""

import re
from collections.abc import Iterator, Sequence

from core.sanitize import for_screen, one_line
from heats import formatting as say
from heats.propose.attempts import PlayedMatch, TriedRollout
from heats.propose.commit import Commit
from heats.propose.config import ProposeConfig, filled
from heats.propose.proposal import Proposal, Tests
from heats.report.markdown import code, fence

MAX_TITLE = 120
MAX_TEXT = 60_000  # GitHub takes 65,536 characters
MAX_TESTS = 12

_REACTIONS = (
    (re.compile("@"), "(at)"),
    (re.compile(r"#(?=\d)"), "no. "),
    (re.compile(r"\bGH-(?=\d)", re.IGNORECASE), "GH "),
    (re.compile("://"), ": //"),
    (re.compile(r"[<>]"), "'"),
    (re.compile(r"[`\[\]!*_~|\\]"), " "),
)


def plain(text: str, limit: int = MAX_TITLE) -> str:
    """One line of plain text that triggers no mention, link or closing keyword."""
    line = one_line(text, limit * 2)
    for pattern, instead in _REACTIONS:
        line = pattern.sub(instead, line)
    return one_line(line, limit)


def variables(proposal: Proposal) -> dict[str, object]:
    """The variables available to templates."""
    issue = next((line for line in for_screen(proposal.issue).splitlines() if line.strip(" #=-\t")), "")
    return {
        "task": plain(proposal.task, 200),
        "issue": plain(issue.strip(" #=-\t")).rstrip(".") or f"Fix {plain(proposal.task, 100)}",
        "rollout": plain(proposal.rollout, 100),
        "run": plain(proposal.run, 100),
        "model": plain(proposal.model, 100),
        "base": proposal.base_commit[:12],
        "verdict": plain(proposal.verdict, 200),
        "verified": proposal.verified,
        "patch": proposal.patch_sha256[:8],
    }


def title(proposal: Proposal, config: ProposeConfig) -> str:
    """The commit's subject and the pull request's title."""
    return one_line(filled(config.title, variables(proposal)), MAX_TITLE) or f"Patch {proposal.patch_sha256[:8]}"


def message(proposal: Proposal, config: ProposeConfig) -> str:
    """The complete commit message: UTF-8, ending in a newline."""
    rest = for_screen(filled(config.message, variables(proposal)))
    return f"{title(proposal, config)}\n" + (f"\n{rest}\n" if rest else "")


def pull_request(proposal: Proposal, commit: Commit, signs: Sequence[str] = ()) -> str:
    """The pull request's text as Markdown: verdict, change and doubts, followed by the details and the cost.

    Args:
        proposal: facts about the patch.
        commit: the commit.
        signs: signs of tampering with tests; they come before everything else.
    """
    head = [*_warning(signs), _opening(proposal, commit), *_change(proposal), *_doubts(proposal), *_tests(proposal)]
    head += [*_rival(proposal), *_asked(proposal), *_files(commit), *_why(proposal)]
    tail = [_cost(proposal), _note()]
    room = MAX_TEXT - sum(len(part) + 2 for part in (*head, *tail))
    parts = [*head, *_tried(proposal, room), *tail]
    return "\n\n".join(parts) + "\n"


def _warning(signs: Sequence[str]) -> Iterator[str]:
    if signs:
        lines = [f"- {code(sign, 200)}" for sign in signs[:5]]
        more = [f"- and {len(signs) - 5} more"] if len(signs) > 5 else []
        yield "\n".join(["**Read this first**: the patch may target its tests instead of its task.", "", *lines, *more])


def _opening(proposal: Proposal, commit: Commit) -> str:
    if proposal.verified:
        verdict = (
            "**Verified**: tests that failed now pass with this patch, no passing test broke, and further runs "
            "confirmed both."
        )
    elif proposal.passes:
        because = f": {', '.join(code(why, 300) for why in proposal.lacking[:3])}" if proposal.lacking else ""
        verdict = (
            "**Passes the tests, but is not verified**: tests that failed now pass with this patch and no passing test "
            f"broke, but this could not be confirmed{because}. Read it with care."
        )
    else:
        verdict = "**Not verified**: no test proves this patch. Read it with care."
    moved = ""
    if commit.parent != proposal.base_commit:
        moved = (
            f"\n\nIt was made and tested on {code(proposal.base_commit[:12])} and merged onto "
            f"{code(commit.parent[:12])}; the tests did not run again there."
        )
    return f"{verdict} {code(proposal.verdict, 600)}{moved}"


def _asked(proposal: Proposal) -> Iterator[str]:
    if proposal.issue.strip():
        yield f"## What was asked\n\n{fence(proposal.issue, limit=3000)}"


def _change(proposal: Proposal) -> Iterator[str]:
    found = proposal.decision
    if found.change or found.decisions:
        lines = [f"- {code(found.change, 1000)}"] if found.change else []
        lines += [f"- Decision: {code(one, 300)}" for one in found.decisions]
        yield "## The change, as the attempt describes it\n\n" + "\n".join(lines)


def _doubts(proposal: Proposal) -> Iterator[str]:
    found = proposal.decision
    lines = [f"- Doubt stated by the attempt: {code(one, 300)}" for one in found.doubts]
    lines += [f"- {plain(one, 300)}" for one in found.unchecked]
    if lines:
        yield "## What was not checked, and open doubts\n\n" + "\n".join(lines)


def _rival(proposal: Proposal) -> Iterator[str]:
    rival = proposal.decision.rival
    if rival is None:
        return
    lines = [f"- {code(rival.id)}, patch of {say.size(rival.patch_bytes)}: {code(rival.did, 400)}"]
    lines += [f"- Executed evidence: {code(rival.evidence, 240)}"] if rival.evidence else []
    judge = f". A judge: {code(rival.reason, 300)}" if rival.reason else ""
    yield "## The strongest alternative\n\n" + "\n".join([*lines, f"- Not chosen: {plain(rival.lost, 300)}{judge}"])


def _files(commit: Commit) -> Iterator[str]:
    lines = [f"- {code(one.path.decode('utf-8', 'replace'), 160)}" for one in commit.changes[:40]]
    more = [f"- and {len(commit.changes) - 40} more"] if len(commit.changes) > 40 else []
    yield "## What changes\n\n" + "\n".join([*lines, *more])


def _tests(proposal: Proposal) -> Iterator[str]:
    if proposal.before is None and proposal.after is None:
        yield "## Tests\n\nNo tests ran."
        return
    command = next((tests.command for tests in (proposal.after, proposal.before) if tests is not None), "")
    lines = [f"- Command: {code(command)}", f"- Before: {_run(proposal.before)}", f"- After: {_run(proposal.after)}"]
    named = (("Fixed", proposal.fixed), ("Broken", proposal.broken), ("Still failing", proposal.still_failing))
    for name, tests in (
        *named,
        ("Restored before the test run, because patches must not change tests", proposal.restored),
    ):
        if tests:
            more = f" and {len(tests) - MAX_TESTS} more" if len(tests) > MAX_TESTS else ""
            lines.append(f"- {name}: {', '.join(code(test, 120) for test in tests[:MAX_TESTS])}{more}")
    yield "## Tests before and after\n\n" + "\n".join(lines)


def _run(tests: Tests | None) -> str:
    if tests is None:
        return "not run"
    counts = ", ".join(
        f"{count} {word}" for count, word in ((tests.failed, "failed"), (tests.passed, "passed")) if count
    )
    return f"{code(tests.status)}{', ' + counts if counts else ''} in {say.duration(tests.duration_s)}"


def _why(proposal: Proposal) -> Iterator[str]:
    lines = [f"- {code(proposal.rollout)} was chosen among {say.several(_number(proposal), 'rollout')}."]
    if proposal.same:
        lines.append(f"- {say.several(proposal.same, 'other rollout')} made the same change.")
    lines += [f"- {_contest(one)}" for one in proposal.contests[:40] if one.rivals]
    yield "## Why this patch\n\n" + "\n".join(lines)


def _contest(one: PlayedMatch) -> str:
    votes = ", ".join(f"{code(name)} {say.votes(count)}" for name, count in one.tally.items())
    abstained = f", {one.abstained} abstained" if one.abstained else ""
    rivals, place = ", ".join(map(code, one.rivals)), f"Heat {one.heat}, match {code(one.match)}"
    if one.decided_by == "unheard":
        why = f" The first reply: {code(one.reason, 240)}." if one.reason else ""
        return f"{place}: no vote on it against {rivals} could be read; the winner was chosen at random.{why}"
    how = {
        "evidence": "by evidence",
        "tie-break": f"votes {votes}{abstained}, settled by tie-breaks",
        "bye": "no opponent",
        "critic": "by the critic's scores",
        "votes": f"votes {votes}{abstained}",
    }[one.decided_by]
    because = f" A judge: {code(one.reason, 240)}" if one.reason else ""
    return f"{place}: {'won' if one.won else 'lost'} against {rivals} ({how}).{because}"


def _tried(proposal: Proposal, room: int) -> Iterator[str]:
    """As many rollouts as fit; the proposal lists the selected and kept ones first."""
    shown: list[TriedRollout] = []
    for one in proposal.attempts:
        room -= len(_attempt(one)) + len("- \n")
        if room > 200:
            shown.append(one)
    if shown:
        yield "## What was tried\n\n" + "\n".join(_heats(shown))
    left = _number(proposal) - len(shown)
    if left > 0:
        yield f"{say.several(left, 'more rollout')} not shown here."


def _heats(attempts: Sequence[TriedRollout]) -> Iterator[str]:
    for one in sorted(attempts, key=lambda one: one.id):
        yield f"- {_attempt(one)}"


def _attempt(one: TriedRollout) -> str:
    mark = " (this patch)" if one.selected else " (kept)" if one.kept else ""
    facts = [code(one.ending), say.several(one.steps, "step")]
    facts.append(f"patch of {say.size(one.patch_bytes)}" if one.patch_bytes else "no patch")
    if one.verdict is not None and one.verdict != "no_patch":
        facts.append(f"{say.STATUS_WORDS[one.verdict]} ({code(one.reason, 160)})")
    return f"{code(one.id)}{mark}: {', '.join(facts)}.{' ' + code(one.did, 240) if one.did else ''}"


def _number(proposal: Proposal) -> int:
    return max(len(proposal.attempts) + proposal.omitted, 1)


def _cost(proposal: Proposal) -> str:
    return f"## Cost\n\n{say.spent(proposal.usage)}, model {code(proposal.model)}."


def _note() -> str:
    return (
        "---\nProposed by heats from many rollouts of a coding agent. Text in code type comes from the issue, "
        "from tests or from a model, and is unverified."
    )
