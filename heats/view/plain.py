"""Progress as lines: one for each important event, for CI logs and files. No colour, no cursor movement."""

from collections.abc import Callable

from core.sanitize import ci_lines, one_line
from heats import formatting as say
from heats.store.events import RunEvent
from heats.view.live_model import MatchView, RunView, TaskView, amount, number, pairs, word, words

MANY_TASKS = 3
"""With more tasks than this, matches, single pieces of evidence and successful rollouts are not printed."""


def plain_line(event: RunEvent, run: RunView) -> str | None:
    """The line for an event, without its time; None for events that later ones cover.

    Args:
        event: the event.
        run: the run with this event already applied.
    """
    tell = _TELLERS.get(event.kind)
    text = None if tell is None else tell(event, run)
    if text is None:
        return None
    place = "  ".join(one_line(part, 60) for part in (event.task, event.rollout) if part)
    return ci_lines(f"{place}  {text}" if place else text)


def _started(event: RunEvent, run: RunView) -> str:
    data = event.data
    first = "run started" if event.kind == "run_started" else "run resumed"
    plan = (
        f"{say.several(amount(data, 'tasks'), 'task')}, {say.several(amount(data, 'rollouts'), 'rollout')} x "
        f"{say.several(amount(data, 'iterations'), 'heat')}, keep {amount(data, 'select_k')}, "
        f"groups of {amount(data, 'group_size')}, {say.several(amount(data, 'votes'), 'vote')} a match"
    )
    return f"{first}: {plan}; model {one_line(word(data, 'model'), 80)}; sandbox {one_line(word(data, 'sandbox'), 40)}"


def _baseline(event: RunEvent, run: RunView) -> str:
    passed, failed = amount(event.data, "passed"), amount(event.data, "failed")
    counts = f" ({failed} failed, {passed} passed)" if passed or failed else ""
    return f"tests before: {one_line(word(event.data, 'status'), 40)}{counts}"


def _heat(event: RunEvent, run: RunView) -> str:
    context = words(event.data, "context")
    kept = f", refining {one_line(', '.join(context), 120)}" if context else ""
    return f"heat {amount(event.data, 'heat')}: {say.several(amount(event.data, 'rollouts'), 'rollout')}{kept}"


def _rollout(event: RunEvent, run: RunView) -> str | None:
    data = event.data
    if run.planned_tasks > MANY_TASKS and word(data, "exit") not in {"", *say.INFRASTRUCTURE_EXITS}:
        return None
    patch = say.size(number(data, "patch_bytes"))
    parts = [
        f"{one_line(word(data, 'exit') or 'no attempt', 40).replace('_', ' ')}",
        say.several(amount(data, "steps"), "step"),
        say.duration(number(data, "duration_s")),
        f"patch of {patch}" if number(data, "patch_bytes") else "no patch",
        one_line(word(data, "detail") or word(data, "error"), 160) if word(data, "exit") != "submitted" else "",
    ]
    return ", ".join(part for part in parts if part)


def _evidence(event: RunEvent, run: RunView) -> str | None:
    if run.planned_tasks > MANY_TASKS:
        return None
    return f"evidence: {one_line(word(event.data, 'verdict'), 20)}, {one_line(word(event.data, 'reason'), 160)}"


def _match(event: RunEvent, run: RunView) -> str | None:
    data, how = event.data, word(event.data, "decided_by")
    if how == "bye" or (run.planned_tasks > MANY_TASKS and how != "unheard"):
        return None
    task = run.running.get(event.task or "")
    match = None if task is None else task.matches.get((amount(data, "heat"), word(data, "match")))
    return f"{_place(event)}: {match_text(match)}" if match is not None else None


def _dropped(event: RunEvent, run: RunView) -> str | None:
    data = event.data
    if run.planned_tasks > MANY_TASKS or len(words(data, "contestants")) < 2:
        return None
    met = " against ".join(one_line(say.short(one), 40) for one in words(data, "contestants"))
    return f"{_place(event)}: {met} no longer counts: a later rollout makes the same change as one of them"


def _place(event: RunEvent) -> str:
    return f"heat {amount(event.data, 'heat')}, match {one_line(word(event.data, 'match'), 20)}"


def match_text(match: MatchView) -> str:
    """`0/03 beats 0/01 5:2 (votes)`."""
    others = [one for one in match.contestants if one != match.winner]
    losers = ", ".join(one_line(say.short(other), 40) for other in others) or "nobody"
    winner = one_line(say.short(match.winner), 40)
    if match.decided_by == "unheard":
        why = f" ({one_line(match.detail, 200)})" if match.detail else ""
        return f"no vote on {winner} against {losers} could be read{why}; {winner} advances at random"
    votes = ":".join(say.votes(match.votes.get(one, 0)) for one in (match.winner, *others)) if match.votes else ""
    return f"{winner} beats {losers} {votes} ({one_line(match.decided_by, 20)})".replace("  ", " ")


def _grading(event: RunEvent, run: RunView) -> str | None:
    rollouts = amount(event.data, "rollouts")
    return f"grading {say.several(rollouts, 'rollout')}" if rollouts and run.planned_tasks <= MANY_TASKS else None


def _graded(event: RunEvent, run: RunView) -> str | None:
    if run.planned_tasks > MANY_TASKS:
        return None
    outcome = word(event.data, "outcome")
    told = {"pass": "passes the hidden tests", "fail": "fails the hidden tests", "invalid": "could not be graded"}
    return f"graded: {told.get(outcome, one_line(outcome, 20))}"


def _crossing(event: RunEvent, run: RunView) -> str | None:
    if run.planned_tasks > MANY_TASKS or number(event.data, "done"):
        return None
    total = amount(event.data, "total")
    return f"heat {amount(event.data, 'heat')}: the project's and the rollouts' tests run on every patch, {total} runs"


def _crossed(event: RunEvent, run: RunView) -> str | None:
    if run.planned_tasks > MANY_TASKS:
        return None
    tests = say.several(amount(event.data, "tests"), "test")
    told = [f"{tests} that rollouts wrote, {amount(event.data, 'counting')} count"]
    if existing := amount(event.data, "existing"):
        breaking = say.several(amount(event.data, "breaking"), "attempt")
        told.insert(0, f"of the project's own {say.several(existing, 'test')}, {breaking} broke some")
    told += [f"not run: {one_line(reason, 160)}" for reason in words(event.data, "left_out")[:2]]
    return f"heat {amount(event.data, 'heat')}: {'; '.join(told)}"


def _selected(event: RunEvent, run: RunView) -> str:
    chosen = ", ".join(one_line(one, 60) for one in words(event.data, "selected")) or "nobody"
    first = "selected" if event.data.get("final") is True else f"kept from heat {amount(event.data, 'heat')}"
    return f"{first}: {chosen}"


def _verified(event: RunEvent, run: RunView) -> str:
    verdict = word(event.data, "verdict")
    return f"{say.STATUS_WORDS.get(verdict, one_line(verdict, 20))}: {one_line(word(event.data, 'reason'), 200)}"


def _task_finished(event: RunEvent, run: RunView) -> str:
    status = word(event.data, "status")
    detail = one_line(word(event.data, "detail"), 200)
    left = f", about {say.duration(run.left_s)} left" if run.left_s else ""
    done = f" [{sum(run.statuses.values())}/{run.planned_tasks} tasks{left}]" if run.planned_tasks > 1 else ""
    said = say.STATUS_WORDS.get(status, one_line(status, 20))
    return f"finished: {said}{': ' + detail if detail else ''}{done}"


def _left_out(event: RunEvent, run: RunView) -> str:
    found = pairs(event.data, "reasons")
    told = [f"{one_line(name, 60)}: {one_line(why, 160)}" for name, why in found[:MANY_TASKS]]
    more = [f"and {len(found) - MANY_TASKS} more"] if len(found) > MANY_TASKS else []
    return f"left out: {'; '.join([*told, *more])}"


def _warning(event: RunEvent, run: RunView) -> str:
    return f"warning: {one_line(word(event.data, 'text'), 400)}"


def _policy(event: RunEvent, run: RunView) -> str:
    return f"heat {amount(event.data, 'heat')}: {one_line(word(event.data, 'why'), 200)}"


def _finished(event: RunEvent, run: RunView) -> str:
    counts = ", ".join(f"{number} {say.STATUS_WORDS.get(name, name)}" for name, number in sorted(run.statuses.items()))
    status = one_line(word(event.data, "status"), 40)
    return " ".join(part for part in ("run finished:", status, f"({counts})" if status and counts else counts) if part)


_TELLERS: dict[str, Callable[[RunEvent, RunView], str | None]] = {
    "run_started": _started,
    "run_resumed": _started,
    "left_out": _left_out,
    "baseline": _baseline,
    "heat_started": _heat,
    "rollout_finished": _rollout,
    "evidence": _evidence,
    "crossing": _crossing,
    "crossed": _crossed,
    "grading": _grading,
    "graded": _graded,
    "match": _match,
    "match_dropped": _dropped,
    "policy": _policy,
    "selected": _selected,
    "verified": _verified,
    "task_finished": _task_finished,
    "warning": _warning,
    "run_finished": _finished,
}


def progress(task: TaskView) -> str:
    """The progress of a running task, in a few words: `heat 1: 5/8 rollouts, tests on 2 patches, 3/4 matches`."""
    rollouts, matches = task.heat_rollouts(), task.heat_matches()
    if not rollouts:
        return f"tests before: {one_line(task.tests, 20)}" if task.tests else "preparing"
    done = sum(one.state != "running" for one in rollouts)
    parts = [f"heat {task.heat}: {done}/{max(task.planned, len(rollouts))} rollouts"]
    verifying = sum(one.verifying for one in task.rollouts.values())
    if verifying:
        parts.append(f"tests on {say.several(verifying, 'patch', 'patches')}")
    if task.crossing[1]:
        parts.append(f"cross-execution {task.crossing[0]}/{task.crossing[1]}")
    if matches:
        parts.append(f"{sum(bool(one.winner) for one in matches)}/{len(matches)} matches")
    return ", ".join(parts)


def grading(counts: tuple[int, int]) -> str:
    """`grading 2/8 rollouts`."""
    return f"grading {counts[0]}/{say.several(counts[1], 'rollout')}"


def standing(run: RunView) -> str:
    """The progress of the whole run, for a log in which nothing has happened for a while."""
    if run.began is None:
        return "preparing images, model and sandboxes"
    at_work = [f"{one_line(task.id, 48)} ({progress(task)})" for task in list(run.running.values())[:MANY_TASKS]]
    at_work += [f"{one_line(name, 48)} ({grading(counts)})" for name, counts in list(run.grading.items())[:MANY_TASKS]]
    more = len(run.running) + len(run.grading) - len(at_work)
    done = f"{sum(run.statuses.values())}/{run.planned_tasks} tasks: " if run.planned_tasks > 1 else ""
    return ci_lines(f"in progress: {done}{', '.join(at_work) or 'closing'}{f' and {more} more' if more > 0 else ''}")
