"""The refinement context of a heat: kept attempts, best first, why the others lost, and changes as files.

Everything is made once per heat, regardless of the number of rollouts, so that these share their whole prompt.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from core.sanitize import for_model
from core.text import cut, on_one_line
from envs.base import Patch, Task
from envs.worktree import apply_patch
from heats.config import RefineConfig
from heats.context_rules import Choice
from sandbox.base import Sandbox
from sandbox.errors import FileAccessError
from summarizer.change import file_changes, render_change, shared_out
from tournament.base import Bracket, Candidate, Match, Vote
from tournament.reasons import resolved, tally
from tournament.strip import strip_comments
from tournament.view import measured_of

PRINTED = "What failing tests print:"
"""Heading of the output of tests that an attempt fails."""
_FOLDER = "earlier-attempts"
_REASON_CHARS = 900
_DID_CHARS = 300
_PRINTED_CHARS = 240
_LINE_CHARS = 1200
_OTHERS = 8
_ANOTHER = "another attempt"
_START = re.compile(r"(?:^|[.!?] )a(?=ttempt \d|nother attempt)")
"""A sentence that starts with the name of an attempt."""
_TWICE = re.compile(
    r"\b(?:candidate|attempt|label|option|solution)\s+[`'\"]?(?=attempt \d|another attempt)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Context:
    """What a rollout sees of the previous heat.

    Attributes:
        parents: ids of the rollouts whose records it receives.
        records: the records' texts, in the same order, or what a context rule shows in place of them (`notes`).
        others: one line on each rollout that was not kept.
        diffs: the parents' changes by file name.
        notes: whether `records` are a context rule's own texts.
        role: what to make of it, if not the usual.
        start: the change that is applied before the first turn; empty for the untouched tree.
        start_name: what the records call that change, such as `attempt 1`.
        branch: the rollout to branch off, and its turn; None to begin at the first.
    """

    parents: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    diffs: Mapping[str, bytes] = field(default_factory=dict)
    notes: bool = False
    role: str = ""
    start: bytes = b""
    start_name: str = ""
    branch: tuple[str, int] | None = None


NO_CONTEXT = Context()


def make_context(
    parents: Sequence[str],
    candidates: Mapping[str, Candidate],
    patches: Mapping[str, bytes],
    bracket: Bracket,
    config: RefineConfig,
) -> Context:
    """Build the context made from the given parents.

    Args:
        parents: ids, best first; those without a candidate are left out, as are duplicates of a change.
        candidates: candidates of the whole heat, by id; those of parents include their summaries.
        patches: exact bytes, by id, of changes that can be applied.
        bracket: the tournament that compared them.
        config: view and size limits.
    """
    order = [name for name in dict.fromkeys((*parents, *bracket.ranking)) if name in candidates]
    kept = [candidates[name] for name in recorded(parents, candidates, config)]
    if config.view == "summary":
        texts = list(map(_account, kept))
        shares = shared_out(list(map(len, texts)), config.chars)
        return Context(tuple(one.id for one in kept), tuple(map(cut, texts, shares)))
    players = {copy: player for player, copies in bracket.merged.items() for copy in copies}
    alone = (name for name in bracket.ranking if name in candidates and not candidates[name].derived)
    alike = Counter(players.get(name, name) for name in alone)
    kept = [one.model_copy(update={"copies": alike[players.get(one.id, one.id)] or 1}) for one in kept]
    rest = [candidates[name] for name in order if name not in {one.id for one in kept} and name not in players]
    numbers = {one.id: f"attempt {place}" for place, one in enumerate([*kept, *rest], start=1)}
    numbers |= {copy: numbers[player] for copy, player in players.items() if player in numbers}
    field = [*kept, *rest]
    parts: list[list[str]] = []
    for one in kept:
        told = "\n".join(part[0] for part in parts)
        parts.append(_parts(one, _standing(one, numbers, bracket, field, told), config))
    told = "\n".join(part[0] for part in parts)
    others = tuple(_others(rest, numbers, bracket, field, told, config.chars // 3))
    shares = shared_out([sum(map(len, part)) + 4 for part in parts], config.chars - sum(map(len, others)))
    records = tuple(_fitted(part, share) for part, share in zip(parts, shares, strict=True))
    diffs = {f"attempt-{place}.diff": patches.get(one.id, b"") for place, one in enumerate(kept, start=1)}
    return Context(tuple(one.id for one in kept), records, others, {name: data for name, data in diffs.items() if data})


def with_choice(context: Context, choice: Choice, patches: Mapping[str, bytes], config: RefineConfig) -> Context:
    """Add to a context what else a context rule chose: its texts, its role, and the change to start from.

    Args:
        context: the context made from the rule's parents.
        choice: the rule's answer.
        patches: exact bytes, by id, of changes that can be applied.
        config: roles by name, and size limits.
    """
    role = config.roles.get(choice.role, choice.role).strip()
    if choice.texts is not None:
        shares = shared_out([len(text) for text in choice.texts], config.chars)
        texts = tuple(cut(for_model(text), share) for text, share in zip(choice.texts, shares, strict=True))
        context = replace(context, records=texts, others=(), notes=True)
    start = b"" if choice.turns else patches.get(choice.start, b"")
    if choice.turns:
        context = replace(context, branch=(choice.start, choice.turns))
    if not context.records:
        role = ""
    if not start:
        return replace(context, role=role)
    names = {data: f"attempt {place}" for place, data in reversed(list(enumerate(context.diffs.values(), start=1)))}
    return replace(context, role=role, start=start, start_name=names.get(start, "an earlier attempt"))


def recorded(parents: Sequence[str], candidates: Mapping[str, Candidate], config: RefineConfig) -> tuple[str, ...]:
    """The parents that get a record: the first with each change; in the `summary` view, all that exist.

    Args:
        parents: ids, best first.
        candidates: candidates of the heat, by id.
        config: the view.
    """
    there = [name for name in parents if name in candidates]
    if config.view == "summary":
        return tuple(there)
    first: dict[str, str] = {}
    for name in there:
        first.setdefault(candidates[name].patch_key or name, name)
    return tuple(first.values())


def _account(candidate: Candidate) -> str:
    return candidate.summary + (f"\n\nExecuted evidence:\n{candidate.evidence}" if candidate.evidence else "")


def _parts(candidate: Candidate, standing: str, config: RefineConfig) -> list[str]:
    """A record's parts, the most certain first."""
    change = render_change(candidate.patch, config.change_chars, shown=strip_comments(candidate.patch))
    measured = measured_of(candidate)
    return [
        "\n".join(part for part in (standing, measured and f"Measured: {measured}") if part),
        f"Change, without comments, tests and documents:\n{change}",
        candidate.summary,
    ]


def _fitted(parts: Sequence[str], budget: int) -> str:
    shares = shared_out([len(part) for part in parts], max(budget - 4, 0))
    return "\n\n".join(cut(for_model(part), share) for part, share in zip(parts, shares, strict=True) if part)


def _standing(
    one: Candidate, numbers: Mapping[str, str], bracket: Bracket, field: Sequence[Candidate], told: str = ""
) -> str:
    """How an attempt did in the comparison, and the reasons given for and against it.

    Args:
        one: the attempt.
        numbers: what to call attempts, by id.
        bracket: the tournament.
        field: all attempts, of which those with better evidence may have won without a match.
        told: text whose reasons are not repeated.
    """
    player = next((player for player, copies in bracket.merged.items() if one.id in copies), one.id)
    matches = [match for match in bracket.matches if player in match.contestants and len(match.contestants) > 1]
    if not matches:
        return _without_match(one, numbers, field)
    met = {name for match in matches for name in match.contestants}
    equal = (other for other in field if other.id in numbers and other.evidence_rank == one.evidence_rank)
    level = [numbers[other.id] for other in equal if other.patch and not {other.id, *_copies(other, bracket)} & met]
    unmet = [f"It was not compared with {', '.join(level)}."] if level else []
    return "\n".join([*(result_text(match, player, numbers, told) for match in matches), *unmet])


def _copies(one: Candidate, bracket: Bracket) -> set[str]:
    """Ids of the attempts that count as this one in the bracket: the one that played, and its copies."""
    return {
        name for player, copies in bracket.merged.items() if one.id in (player, *copies) for name in (player, *copies)
    }


def _without_match(one: Candidate, numbers: Mapping[str, str], field: Sequence[Candidate]) -> str:
    """Why an attempt stands where it does although it played no match."""
    others = [other for other in field if other.id != one.id and other.patch]
    worse = [other for other in others if other.evidence_rank < one.evidence_rank]
    better = [other for other in others if other.evidence_rank > one.evidence_rank]
    if others and len(worse) == len(others):
        return "Better than every other attempt by what was executed; it needed no match."
    sides = [
        f"{word} than {', '.join(numbers.get(other.id, _ANOTHER) for other in those)}"
        for word, those in (("better", better and worse), ("worse", better))
        if those
    ]
    if not better:
        return "It was not compared with another attempt."
    return f"By what was executed it is {' and '.join(sides)}; it played no match."


def _others(
    rest: Sequence[Candidate],
    numbers: Mapping[str, str],
    bracket: Bracket,
    field: Sequence[Candidate],
    told: str,
    budget: int,
) -> Iterator[str]:
    """One line on each of the others: what it did, and why it lost unless that was said already.

    Args:
        rest: the attempts that were not kept.
        numbers: what to call attempts, by id.
        bracket: the tournament.
        field: all attempts.
        told: text whose reasons are not repeated.
        budget: characters for all lines.
    """
    for place, one in enumerate(rest):
        if place == _OTHERS or budget < 2 * _LINE_CHARS:
            yield f"{len(rest) - place} more attempts were not kept."
            return
        line = _other(one, numbers, bracket, field, told)
        budget -= len(line)
        yield line


def _other(one: Candidate, numbers: Mapping[str, str], bracket: Bracket, field: Sequence[Candidate], told: str) -> str:
    lost = [match for match in bracket.matches if one.id in match.contestants and match.winner != one.id]
    if not one.patch:
        why = "It handed in no change."
    elif lost:
        why = " ".join(result_text(match, one.id, numbers, told) for match in lost)
    else:
        why = _without_match(one, numbers, field)
    measured, _, printed = (measured_of(one) if one.evidence and one.patch else "").partition(PRINTED)
    measured = f" Measured: {measured}" if measured else ""
    lines = (line.strip() for line in printed.splitlines())
    if failing := next((line for line in lines if line and not line.endswith(": fails")), ""):
        measured += f" A failing test prints: {cut(failing.removeprefix('- '), _PRINTED_CHARS)}"
    line = on_one_line(for_model(f"{numbers[one.id].capitalize()}: {_did(one)}{why}{measured}"))
    return line if len(line) <= _LINE_CHARS else f"{line[:_LINE_CHARS]}..."


def _did(one: Candidate) -> str:
    """What an attempt did: in the words of its record if it has one, or else the lines of source that it adds."""
    said = next((line for line in one.summary.splitlines() if line.startswith("Progress: ")), "")
    said = cut(said.removeprefix("Progress: ").strip(), _DID_CHARS)
    if not said and one.patch:
        shown = strip_comments(one.patch)
        files = [file for file in file_changes(shown) if file.is_source]
        lines = [line[1:].strip() for file in files for line in file.text.split("\n") if re.match(r"\+(?!\+\+ )", line)]
        said = (
            cut(f"It changed {', '.join(file.path for file in files)}: `{' / '.join(lines)}`", _DID_CHARS)
            if files
            else ""
        )
    return f"{said} " if said.endswith((".", "!", "?")) else f"{said}. " if said else ""


def result_text(match: Match, name: str, numbers: Mapping[str, str], told: str = "") -> str:
    """How an attempt did in one match, with a reason for it and one against it.

    Args:
        match: the match.
        name: id of the attempt.
        numbers: what to call attempts, by id; others are "another attempt".
        told: text whose reasons are not repeated.
    """
    rivals = ", ".join(numbers.get(one, _ANOTHER) for one in match.contestants if one != name)
    won = match.winner == name
    if match.decided_by == "evidence":
        return f"{'Better' if won else 'Worse'} than {rivals} by what was executed."
    if match.decided_by == "critic":
        return f"{'Better' if won else 'Worse'} than {rivals} by a critic's score."
    if match.decided_by == "unheard":
        return f"Was not compared with {rivals}: no vote could be read."
    count = tally(match)
    own, against = count[name], sum(count.values()) - count[name]
    tie = ", a tie that a rule settled" if match.decided_by == "tie-break" else ""
    reasons = " ".join(_reasons(match, name, numbers, told))
    verb = "Won" if won else "Lost"
    return f"{verb} against {rivals} by {own:.3g} to {against:.3g} votes{tie}.{reasons and ' ' + reasons}"


def _reasons(match: Match, name: str, numbers: Mapping[str, str], told: str) -> Iterator[str]:
    """One reason for the attempt and one against it, the winner's first, skipping reasons already given."""
    sides = (True, False) if match.winner == name else (False, True)
    for own in sides:
        vote = next((one for one in match.votes if one.choice and (one.choice == name) is own and one.reason), None)
        reason = reason_text(vote, numbers) if vote is not None else ""
        if reason and reason not in told:
            told = f"{told}\n{reason}"
            yield f"A judge {'for' if own else 'against'} it: {reason}{'' if reason[-1] in '.!?' else '.'}"


def reason_text(vote: Vote, numbers: Mapping[str, str]) -> str:
    """A vote's reason on one line, with names in place of labels."""
    text = resolved(vote, lambda name: numbers.get(name, _ANOTHER))
    text = " ".join(for_model(_TWICE.sub("", text)).split())
    text = _START.sub(lambda start: start[0][:-1] + start[0][-1].upper(), text)
    return text if len(text) <= _REASON_CHARS else f"{text[:_REASON_CHARS]}..."


async def put_diffs(sandbox: Sandbox, workdir: str, diffs: Mapping[str, bytes]) -> str:
    """Write changes to files outside the working directory, so that no patch can include them.

    Args:
        sandbox: the rollout's sandbox.
        workdir: directory of the tree.
        diffs: contents by file name.

    Returns:
        The folder in shell notation; empty if there is nothing to write or no place for it.

    Raises:
        SandboxLost
    """
    if not diffs:
        return ""
    home = (await sandbox.exec("cd ~ 2>/dev/null && pwd", timeout=60)).text().strip()
    places = [(home, "~")] if home.startswith("/") and not _holds(workdir, home) else []
    for folder, shown in (*places, ("/tmp", "/tmp")):  # noqa: S108 - in the sandbox
        try:
            for name, data in diffs.items():
                await sandbox.write_file(f"{folder.rstrip('/')}/{_FOLDER}/{name}", data)
        except FileAccessError:
            continue
        return f"{shown}/{_FOLDER}"
    return ""


async def put_context(sandbox: Sandbox, task: Task, workdir: str, context: Context) -> dict[str, Any]:
    """Prepare a rollout's sandbox: write the changes as files, and apply the one that it starts from.

    Args:
        sandbox: the rollout's sandbox, with the untouched tree.
        task: the task.
        workdir: where commands run.
        context: what the rollout sees of the previous heat.

    Returns:
        The fields of the rollout's `Assignment` that hold the context. A change that does not apply is not named.

    Raises:
        SandboxLost
    """
    problem: str | None = None
    if context.start:
        problem = await apply_patch(sandbox, task.workdir or workdir, Patch(context.start))
    return {
        "refinement": context.records,
        "others": context.others,
        "notes": context.notes,
        "role": context.role,
        "diffs": await put_diffs(sandbox, workdir, context.diffs),
        "started_from": "" if problem else context.start_name,
    }


def _holds(folder: str, path: str) -> bool:
    return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")
