"""Builds synthetic run directories through the run store, for tests and benchmarks of everything that displays runs.

Every text that an agent, a test or a model could have written goes through a `Voice`, so that a run can be made plain
or hostile in every field.
"""

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

from synthetic_parts import START, Plan, make_evidence, make_patch, make_steps, make_summary, play, report

from agents.llm.ledger import Usage
from agents.trajectory import Exit, Trajectory
from envs.base import Grade, Patch, Task
from heats.store.events import EventKind, RunEvent
from heats.store.files import LineLog, write_record
from heats.store.records import Charge, Manifest, Outcome, TaskResult
from heats.store.store import RolloutStore, RunStore, TaskStore
from tournament.base import Bracket


def build_run(directory: Path, plan: Plan | None = None) -> RunStore:
    """Build a finished run and return its store, with its lock released."""
    plan = plan or Plan()
    plan.rng = random.Random(plan.seed)
    names = [plan.voice(f"demo__task-{number:03d}") for number in range(plan.tasks)]
    about = {"model": plan.voice("builtin:repair"), "python": "3.11"}
    manifest = Manifest(
        run_id=directory.name, command="sweep", identity={"tasks": names, "seed": plan.seed}, about=about
    )
    run = RunStore.open(directory, manifest)
    events, charges = LineLog(run.events_path), run.ledger_log()
    announce = {"command": "sweep", "tasks": names, "rollouts": plan.rollouts, "iterations": plan.heats}
    emit(
        events,
        plan,
        "run_started",
        **announce,
        select_k=plan.keep,
        group_size=2,
        votes=plan.votes,
        model=plan.voice("builtin:repair"),
        sandbox="docker",
    )
    for name in names:
        build_task(run, name, plan, events)
        if plan.chatty:
            charge_each_call(run, name, plan, charges)
            continue
        charges.append(
            Charge(
                scope=name,
                usage=Usage(
                    calls=40, prompt_tokens=90_000, cached_tokens=60_000, completion_tokens=4_000, cost_usd=0.12
                ),
            ),
            sync=False,
        )
    emit(events, plan, "run_finished", status="done")
    events.close()
    charges.close()
    run.close()
    return run


def charge_each_call(run: RunStore, name: str, plan: Plan, charges: LineLog) -> None:
    """A charge for each step and summary of a task's rollouts, and for each vote."""
    store = run.task(name)
    for heat in range(plan.heats):
        for rollout in store.rollouts(heat):
            outcome = store.rollout(rollout).outcome()
            for _ in range(outcome.steps):
                usage = Usage(calls=1, prompt_tokens=2_000, cached_tokens=1_500, completion_tokens=90)
                charges.append(Charge(scope=f"{name}/{rollout}", usage=usage), sync=False)
            usage = Usage(calls=1, prompt_tokens=4_000, completion_tokens=600)
            charges.append(Charge(scope=f"{name}/{rollout}", usage=usage), sync=False)
        votes = sum(len(match.votes) for one in store.bracket(heat).rounds for match in one)
        for _ in range(votes):
            usage = Usage(calls=1, prompt_tokens=3_000, cached_tokens=1_000, completion_tokens=40)
            charges.append(Charge(scope=f"{name}/heat-{heat}/tournament", usage=usage), sync=False)


def emit(
    events: LineLog,
    plan: Plan,
    kind: EventKind,
    *,
    task: str | None = None,
    rollout: str | None = None,
    after: float = 0.1,
    **data: Any,
) -> None:
    """Append an event `after` seconds after the last one."""
    plan.clock += after
    plan.seq += 1
    moment = (START + timedelta(seconds=plan.clock)).isoformat(timespec="milliseconds")
    events.append(RunEvent(seq=plan.seq, time=moment, kind=kind, task=task, rollout=rollout, data=data), sync=False)


def build_task(run: RunStore, name: str, plan: Plan, events: LineLog) -> None:
    """One task: its heats, brackets, result and grades."""
    store, voice = run.task(name), plan.voice
    hard = plan.rng.random()
    emit(events, plan, "task_started", task=name)
    issue = voice("`merge(a, b)` drops the last element when both lists have the same length.\n\nSteps: call it.")
    write_record(
        store.directory / "task.json",
        Task(id=name, statement=issue, image="heats-base", base_commit="0" * 40, test_command="python3 -m pytest -q"),
    )
    store.save_baseline(report(plan, broken=3))
    emit(events, plan, "baseline", task=name, status="failed", passed=["a"], failed=["b"])
    winner, kept, context, passing = None, [], (), {}
    for heat in range(plan.heats):
        emit(events, plan, "heat_started", task=name, heat=heat, rollouts=plan.rollouts, context=context)
        ids = [f"heat-{heat}/rollout-{number:02d}" for number in range(plan.rollouts)]
        for rollout in ids:
            passing[rollout] = plan.rng.random() > hard * (0.9 if heat == 0 else 0.6)
            build_rollout(run, store, rollout, plan, passing[rollout], context, events)
        keep = plan.keep if heat < plan.heats - 1 else 1
        alive = [one for one in ids if store.rollout(one).outcome().exit is not None]
        bracket = play(alive, keep, plan, passing)
        announce(events, plan, name, heat, bracket, final=keep == 1)
        store.save_bracket(heat, bracket)
        context = bracket.selected
        if heat < plan.heats - 1:
            kept.append(bracket.selected)
        else:
            winner = bracket.selected[0] if bracket.selected else None
    files = store.rollout(winner) if winner else None
    verified = bool(winner and passing[winner])
    patch = files.patch() if files else Patch(b"")
    status = "verified" if verified else "unverified" if patch else "no_patch"
    store.save_result(
        TaskResult(
            task=name,
            status=status,
            detail=voice("3 tests fixed, none broken" if verified else "still fails"),
            base_commit="0" * 40,
            selected=winner,
            patch_sha256=patch.sha256 if patch else "",
            heats=plan.heats,
            rollouts=tuple(passing),
            kept=tuple(kept),
            evidence=files.evidence() if files else None,
            usage=Usage(calls=40, prompt_tokens=90_000, cached_tokens=60_000, completion_tokens=4_000),
        )
    )
    emit(events, plan, "task_finished", task=name, status=status, selected=winner, detail="")


def build_rollout(
    run: RunStore, store: TaskStore, rollout: str, plan: Plan, passes: bool, context: tuple[str, ...], events: LineLog
) -> None:
    """One rollout: trajectory, patch, evidence, summary, outcome and grade."""
    files, voice, rng = store.rollout(rollout), plan.voice, plan.rng
    where: dict[str, Any] = {"task": store.task_id, "rollout": rollout}
    emit(events, plan, "rollout_started", **where)
    if rng.random() < plan.infra_share:
        files.finish(Outcome(rollout=rollout, exit=None, error=voice("the sandbox did not start")), Patch(b""))
        emit(events, plan, "rollout_finished", **where, exit=None, detail="the sandbox did not start", after=2)
        if plan.graded:
            run.grades.save(rollout, Grade(task_id=store.task_id, outcome="invalid", reason="no attempt"))
        return
    count = max(2, plan.steps + rng.randint(-3, 3) - (3 if rollout.startswith("heat-1") else 0))
    end = Exit(kind="submitted", detail=voice("submitted"))
    usage = Usage(calls=count, prompt_tokens=2_000 * count, cached_tokens=1_500 * count, completion_tokens=90 * count)
    trajectory = Trajectory(
        id=rollout,
        task_id=store.task_id,
        agent="bash",
        model=voice("builtin:repair"),
        seed=7,
        exit=end,
        usage=usage,
        steps=tuple(make_steps(count, plan)),
        duration_s=count * 1.7,
        parents=context,
    )
    files.save_trajectory(trajectory)
    for step in trajectory.steps if plan.chatty else ():
        emit(events, plan, "rollout_step", **where, step=step.id, command="python3 -m pytest -q", exit_code=0)
    patch = make_patch(plan, passes)
    finish(files, patch, trajectory)
    emit(
        events,
        plan,
        "rollout_finished",
        **where,
        exit="submitted",
        detail="",
        steps=count,
        duration_s=count * 1.7,
        tokens=usage.tokens,
        cost_usd=0.01,
        patch_bytes=len(patch.data),
        after=count * 0.5,
    )
    if plan.evidence:
        files.save_evidence(make_evidence(plan, patch, passes))
        emit(events, plan, "evidence", **where, verdict="verified" if passes else "unverified", rank=3, reason="")
    files.save_summary(make_summary(rollout, patch, count, plan))
    emit(events, plan, "summarized", **where, source="model")
    if plan.graded:
        outcome: Any = "pass" if passes and rng.random() > 0.1 else "fail"
        run.grades.save(rollout, Grade(task_id=store.task_id, outcome=outcome, reason=voice("hidden tests")))


def finish(files: RolloutStore, patch: Patch, trajectory: Trajectory) -> None:
    """Store the patch and the outcome of a trajectory."""
    assert trajectory.exit is not None
    files.finish(
        Outcome(
            rollout=trajectory.id,
            exit=trajectory.exit.kind,
            detail=trajectory.exit.detail,
            model=trajectory.model,
            steps=trajectory.agent_steps,
            duration_s=trajectory.duration_s,
            usage=trajectory.usage,
            patch_sha256=patch.sha256 if patch else "",
            patch_bytes=len(patch.data),
            seed=trajectory.seed,
        ),
        patch,
    )


def announce(events: LineLog, plan: Plan, task: str, heat: int, bracket: Bracket, final: bool) -> None:
    """The events of a tournament."""
    for match in (match for one in bracket.rounds for match in one):
        common: dict[str, Any] = {"task": task, "heat": heat, "match": match.id, "contestants": match.contestants}
        if match.votes:
            emit(events, plan, "votes", **common, choices=[vote.choice for vote in match.votes], after=0.5)
        emit(events, plan, "match", **common, winner=match.winner, decided_by=match.decided_by)
    emit(events, plan, "selected", task=task, heat=heat, selected=bracket.selected, final=final)
