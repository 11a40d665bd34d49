"""Makes run directories out of nothing, through the run store, for tests and benchmarks of what shows runs.

Every text that an agent, a test or a model could have written goes through a `Voice`, so that one run can be made
plain or hostile in every field.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agents.llm.base import ToolCall
from agents.llm.ledger import Usage
from agents.trajectory import Exit, Observation, Step, Trajectory
from envs.base import Evidence, Grade, Patch, Task, TestReport
from heats.events import Event, EventKind
from heats.files import LineLog, write_record
from heats.records import Charge, Manifest, Outcome, TaskResult
from heats.store import RolloutStore, RunStore, TaskStore
from summarizer.schema import CheckedClaim, Facts, Hypothesis, Summary
from tournament.base import Bracket, Match, Vote

Voice = Callable[[str], str]
START = datetime(2026, 1, 1, tzinfo=UTC)


def plain(text: str) -> str:
    """The voice of a well-behaved agent."""
    return text


@dataclass
class Plan:
    """What to make. `infra_share` of the rollouts fail by infrastructure; `graded` writes grades."""

    tasks: int = 3
    rollouts: int = 8
    heats: int = 2
    keep: int = 4
    votes: int = 4
    steps: int = 8
    seed: int = 0
    graded: bool = True
    evidence: bool = True
    infra_share: float = 0.05
    voice: Voice = plain
    patch_note: bytes = b""
    clock: float = 0.0
    seq: int = 0
    rng: random.Random = field(default_factory=lambda: random.Random(0))


def build_run(directory: Path, plan: Plan | None = None) -> RunStore:
    """Make a finished run and return its store, free of its lock."""
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
    emit(events, plan, "run_started", **announce, select_k=plan.keep, group_size=2, votes=plan.votes,
         model=plan.voice("builtin:repair"), sandbox="docker")  # fmt: skip
    for name in names:
        build_task(run, name, plan, events)
        charges.append(Charge(scope=name, usage=Usage(calls=40, prompt_tokens=90_000, cached_tokens=60_000,
                                                      completion_tokens=4_000, cost_usd=0.12)), sync=False)  # fmt: skip
    emit(events, plan, "run_finished", status="done")
    events.close()
    charges.close()
    run.close()
    return run


def emit(events: LineLog, plan: Plan, kind: EventKind, *, task: str | None = None, rollout: str | None = None,
         after: float = 0.1, **data: Any) -> None:  # fmt: skip
    """Append an event `after` seconds after the last one."""
    plan.clock += after
    plan.seq += 1
    moment = (START + timedelta(seconds=plan.clock)).isoformat(timespec="milliseconds")
    events.append(Event(seq=plan.seq, time=moment, kind=kind, task=task, rollout=rollout, data=data), sync=False)


def build_task(run: RunStore, name: str, plan: Plan, events: LineLog) -> None:
    """One task: its heats, brackets, result and grades."""
    store, voice = run.task(name), plan.voice
    hard = plan.rng.random()
    emit(events, plan, "task_started", task=name)
    issue = voice("`merge(a, b)` drops the last element when both lists have the same length.\n\nSteps: call it.")
    write_record(store.directory / "task.json", Task(id=name, statement=issue, image="heats-base", base_commit="0" * 40,
                                                     test_command="python3 -m pytest -q"))  # fmt: skip
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
        TaskResult(task=name, status=status, detail=voice("3 tests fixed, none broken" if verified else "still fails"),
                   base_commit="0" * 40, selected=winner, patch_sha256=patch.sha256 if patch else "", heats=plan.heats,
                   rollouts=tuple(passing), kept=tuple(kept), evidence=files.evidence() if files else None,
                   usage=Usage(calls=40, prompt_tokens=90_000, cached_tokens=60_000, completion_tokens=4_000))
    )  # fmt: skip
    emit(events, plan, "task_finished", task=name, status=status, selected=winner, detail="")


def build_rollout(run: RunStore, store: TaskStore, rollout: str, plan: Plan, passes: bool, context: tuple[str, ...],
                  events: LineLog) -> None:  # fmt: skip
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
        id=rollout, task_id=store.task_id, agent="bash", model=voice("builtin:repair"), seed=7, exit=end, usage=usage,
        steps=tuple(make_steps(count, plan)), duration_s=count * 1.7, parents=context,
    )  # fmt: skip
    files.save_trajectory(trajectory)
    patch = make_patch(plan, passes)
    finish(files, patch, trajectory)
    emit(events, plan, "rollout_finished", **where, exit="submitted", detail="", steps=count, duration_s=count * 1.7,
         tokens=usage.tokens, cost_usd=0.01, patch_bytes=len(patch.data), after=count * 0.5)  # fmt: skip
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
        Outcome(rollout=trajectory.id, exit=trajectory.exit.kind, detail=trajectory.exit.detail, model=trajectory.model,
                steps=trajectory.agent_steps, duration_s=trajectory.duration_s, usage=trajectory.usage,
                patch_sha256=patch.sha256 if patch else "", patch_bytes=len(patch.data), seed=trajectory.seed),
        patch,
    )  # fmt: skip


def make_steps(count: int, plan: Plan) -> list[Step]:
    """A system prompt, the issue, then `count` turns of one command each."""
    voice = plan.voice
    steps = [
        Step(id=1, source="system", content="You fix one issue with bash."),
        Step(id=2, source="user", content=voice("Fix it.")),
    ]
    for number in range(count):
        command = ["ls -la && git log --oneline | head", "python3 -m pytest -q", "sed -n 1,80p merge.py", "git diff"][
            number % 4
        ]
        call = ToolCall(id=f"call-{number}", name="bash", arguments=json.dumps({"command": voice(command)}))
        output = voice("\n".join(f"tests/test_merge.py::test_{line} PASSED" for line in range(14)))
        shown = Observation(
            tool_call_id=call.id, content=output, exit_code=number % 2, duration_s=0.4, output_bytes=len(output)
        )
        steps.append(
            Step(id=number + 3, source="agent", content=voice("I look at what the tests say first."), tool_calls=(call,),
                 observations=(shown,), reasoning=voice("The loop may end too early.") if number % 3 == 0 else None,
                 usage=Usage(calls=1, prompt_tokens=2_000, completion_tokens=90), timestamp=START.isoformat())
        )  # fmt: skip
    return steps


def make_patch(plan: Plan, passes: bool) -> Patch:
    """A diff of two files, one of them new."""
    if not passes and plan.rng.random() < 0.15:
        return Patch(b"")
    bound = plan.rng.choice([b"len(a)", b"len(a) + 1", b"max(len(a), len(b))"])
    name = plan.voice("merge.py").replace("\n", " ").encode("utf-8", "replace")
    return Patch(
        b"diff --git a/" + name + b" b/" + name + b"\nindex 1111111..2222222 100644\n--- a/" + name + b"\n+++ b/" + name
        + b"\n@@ -1,6 +1,7 @@ def merge(a, b):\n def merge(a, b):\n     out = []\n-    for i in range(len(a) - 1):\n"
        + b"+    for i in range(" + bound + b"):\n+        # both ends count\n         out.append(a[i])\n     return out + b\n"
        + b"diff --git a/notes.txt b/notes.txt\nnew file mode 100644\nindex 0000000..3333333\n--- /dev/null\n+++ b/notes.txt\n"
        + b"@@ -0,0 +1,2 @@\n+" + plan.patch_note + plan.voice("why").replace("\n", "\n+").encode("utf-8", "replace") + b"\n+end\n"
    )  # fmt: skip


def report(plan: Plan, broken: int) -> TestReport:
    """A run of twelve tests, of which the first `broken` fail."""
    tests: dict[str, Any] = {plan.voice(f"tests/test_merge.py::test_{number}"): "passed" for number in range(12)}
    for name in list(tests)[:broken]:
        tests[name] = "failed"
    output = plan.voice(f"{broken} failed, {12 - broken} passed in 0.31s")
    return TestReport(command="python3 -m pytest -q", status="failed" if broken else "passed", exit_code=int(broken > 0),
                      tests=tests, output=output, duration_s=0.31)  # fmt: skip


def make_evidence(plan: Plan, patch: Patch, passes: bool) -> Evidence:
    """Evidence before and after."""
    before, after = report(plan, 3), report(plan, 0 if passes else 2)
    verdict: Any = "no_patch" if not patch else "verified" if passes else "unverified"
    fixed = before.ids("failed")[: 3 if passes else 1]
    return Evidence(patch_sha256=patch.sha256, verdict=verdict, reason=plan.voice("what failed now passes" if passes else "2 still fail"),
                    rank=3 if passes else 2, before=before, after=after, fixed=fixed, still_failing=after.ids("failed"))  # fmt: skip


def make_summary(rollout: str, patch: Patch, steps: int, plan: Plan) -> Summary:
    """A summary with something in every field."""
    voice = plan.voice
    return Summary(
        rollout_id=rollout, problem=voice("The loop of `merge` ends one element early."),
        hypotheses=(Hypothesis(text=voice("off by one in range"), fate="confirmed"), Hypothesis(text=voice("wrong slice"), fate="refuted")),
        decisions=(voice("change the bound, not the caller"),), progress=voice("`merge.py` changed, tests run."),
        evidence=(CheckedClaim(command=voice("pytest -q"), outcome="passed", finding=voice("12 passed"), step_id=4, supported=True),
                  CheckedClaim(command=voice("pytest -q"), outcome="passed", finding=voice("all pass"), step_id=99, supported=False, note="no such step")),
        failure_modes=(voice("first tried to sort the lists"),), end_state=voice("clean tree, one file changed"),
        doubts=(voice("empty lists are not tested"),), facts=Facts(exit="submitted", steps=steps, files=(voice("merge.py"),),
                                                                    lines_added=2, lines_removed=1, patch_sha256=patch.sha256),
    )  # fmt: skip


def play(candidates: list[str], keep: int, plan: Plan, passing: dict[str, bool]) -> Bracket:
    """A knock-out by seeded votes: pairs, a bye for the odd one, until `keep` are left."""
    rounds: list[tuple[Match, ...]] = []
    alive = list(candidates)
    merged = {alive[0]: (alive.pop(),)} if len(alive) > keep + 2 else {}
    while len(alive) > keep:
        pairs = [tuple(alive[place : place + 2]) for place in range(0, len(alive), 2)]
        matches = [decide(f"r{len(rounds)}-m{place}", pair, plan, passing) for place, pair in enumerate(pairs)]
        rounds.append(tuple(matches))
        alive = [match.winner for match in matches]
    out = [
        one
        for match_round in reversed(rounds)
        for match in match_round
        for one in match.contestants
        if one not in alive
    ]
    ranking = tuple(dict.fromkeys([*alive, *out]))
    return Bracket(selector="rtv", seed=plan.seed, group_size=2, votes_per_match=plan.votes, rounds=tuple(rounds),
                   merged=merged, ranking=ranking, selected=ranking[:keep])  # fmt: skip


def decide(name: str, pair: tuple[str, ...], plan: Plan, passing: dict[str, bool]) -> Match:
    """One match: by evidence where it differs and luck will have it, else by votes that lean to the better."""
    if len(pair) == 1:
        return Match(id=name, contestants=pair, winner=pair[0], decided_by="bye")
    better = max(pair, key=lambda one: (passing[one], plan.rng.random()))
    if passing[pair[0]] != passing[pair[1]] and plan.rng.random() < 0.3:
        return Match(id=name, contestants=pair, winner=better, decided_by="evidence")
    votes = []
    for _ in range(plan.votes):
        choice = better if plan.rng.random() < 0.7 else plan.rng.choice([*pair, None])
        reason = plan.voice("names the failing bound and shows the test passing") if choice else ""
        votes.append(Vote(order=pair, labels=("K", "Q"), choice=choice, reason=reason))
    tally = [sum(vote.choice == one for vote in votes) for one in pair]
    winner = pair[0] if tally[0] > tally[1] else pair[1]
    decided: Any = "votes" if tally[0] != tally[1] else "tie-break"
    return Match(id=name, contestants=pair, votes=tuple(votes), winner=winner, decided_by=decided)


def announce(events: LineLog, plan: Plan, task: str, heat: int, bracket: Bracket, final: bool) -> None:
    """The events of a tournament."""
    for match in (match for one in bracket.rounds for match in one):
        common: dict[str, Any] = {"task": task, "heat": heat, "match": match.id, "contestants": match.contestants}
        if match.votes:
            emit(events, plan, "votes", **common, choices=[vote.choice for vote in match.votes], after=0.5)
        emit(events, plan, "match", **common, winner=match.winner, decided_by=match.decided_by)
    emit(events, plan, "selected", task=task, heat=heat, selected=bracket.selected, final=final)
