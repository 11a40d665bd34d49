"""One rollout, from a fresh sandbox to a candidate: attempt, patch, evidence, and a summary once it is needed.

Every piece is stored when done, and read instead of being redone if it exists.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial

from agents.base import Assignment, Slice
from agents.errors import LimitExceeded
from agents.llm.base import Session
from agents.llm.ledger import Ledger
from agents.llm.session import in_session, session_id
from agents.resume import Diverged, branch_of, resumable
from agents.trajectory import LIMIT_EXITS, Exit, Trajectory
from envs import verify
from envs.base import Evidence, Patch, Task
from envs.errors import PatchRejected, SetupFailed
from envs.machine import StartsIn
from heats.formatting import several
from heats.retries import FAILED_EXITS, FailureClass, RetryBudget, class_of
from heats.runner.allocation import Allocation
from heats.runner.announcements import announce_evidence, announce_outcome
from heats.runner.boundary import Boundary, described
from heats.runner.candidates import key_of, make_candidate
from heats.runner.context import NO_CONTEXT, Context, put_context
from heats.runner.end_states import States
from heats.runner.knowledge import knowledge_of
from heats.runner.measured import base_run
from heats.runner.model_mix import Policy, policy_of
from heats.runner.reasons import lost_to_server
from heats.runner.routing import TaskRouting, written
from heats.runner.sandbox_time import paid
from heats.runner.services import Services
from heats.runner.time_budget import TimeBudget, in_time
from heats.store.records import Outcome
from heats.store.store import RolloutStore, TaskStore
from sandbox.errors import SandboxError
from summarizer import harness_summary, is_idle, render, summarize
from summarizer.schema import Summary
from tournament.base import Candidate
from tournament.view import FIELDS

_WITHOUT_PATCH = ("sandbox_lost", "disk_limit", "declined")
"""Exits of rollouts that hand in nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One rollout of a heat before it starts; arm (index in the mix) and temperature are set if a policy chose them."""

    rollout: str
    index: int = 0
    arm: int | None = None
    temperature: float | None = None
    context: Context = NO_CONTEXT
    slice: Slice | None = None


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One task in progress.

    Attributes:
        order: the task's position in the run: earlier tasks go first.
        states: receives the states that rollouts submit; None if they submit none.
        clock: None if the task's time is not limited.
        allocation: the decisions of the allocation policy; None plays all rollouts and heats.
        describing: a lock per rollout, held while its summary is made.
        needs_patch: an attempt without a patch cannot be selected.
        routing: chooses between two models for votes and summaries; None if each has a single one.
    """

    services: Services
    task: Task
    store: TaskStore
    ledger: Ledger
    order: int = 0
    states: States | None = None
    clock: TimeBudget | None = None
    allocation: Allocation | None = None
    describing: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    needs_patch: bool = True
    routing: TaskRouting | None = None

    async def candidate(self, plan: Plan) -> Candidate | None:
        """Play a rollout to the end and make it a candidate; None if infrastructure prevented the attempt.

        Raises:
            LimitExceeded: the task's or the run's limit stopped the attempt.
            SetupFailed: no rollout of this task can be attempted.
            ModelConfigError: no rollout of this run can be attempted.
        """
        files = self.store.rollout(plan.rollout)
        inside = Boundary(self.services, files, self.task.id)
        outcome = await self.attempt(plan)
        if outcome.exit is None or outcome.exit == "sandbox_lost" or lost_to_server(outcome):
            return None
        if outcome.failure == "budget":
            self.ledger.check()  # a larger budget would continue this attempt, so it must not be compared
        await inside.contain(
            "verification", lambda: self._evidence(files), lambda error: self._unverified(files, error)
        )
        return await inside.contain("candidate", lambda: self._candidate(plan.rollout), lambda _: None)

    async def attempt(self, plan: Plan) -> Outcome:
        """Play a rollout until it hands in its patch, unless its outcome is stored.

        Raises:
            LimitExceeded, SetupFailed, ModelConfigError: see `candidate`.
        """
        files = self.store.rollout(plan.rollout)
        outcome = files.outcome()
        if outcome is not None and outcome.failure is None:
            return outcome
        earlier, limits = files.trajectory(), self.services.config.limits.rollout
        ledger = self.ledger.child(f"{self.task.id}/{plan.rollout}", limits, spent=earlier.usage if earlier else None)
        files.reopen()
        return await Boundary(self.services, files, self.task.id).contain(
            "attempt", lambda: self._play(plan, files, ledger), lambda error: self._lost(files, error)
        )

    def _lost(self, files: RolloutStore, error: BaseException) -> Outcome:
        """The outcome of an attempt that failed because of heats itself; resuming the run retries it."""
        outcome = Outcome(rollout=files.rollout, exit=None, error=described(error), failure="internal")
        self._finish(files, outcome, Patch(b""))
        return outcome

    def _unverified(self, files: RolloutStore, error: BaseException) -> None:
        """Store the failure as evidence; without a sandbox nothing is known, and verification is retried later."""
        if not isinstance(error, SandboxError):
            reason = f"the verification failed inside heats: {described(error)}"
            files.save_evidence(
                Evidence(patch_sha256=files.patch().sha256, verdict="unverified", reason=reason, rank=1)
            )

    async def _candidate(self, rollout: str) -> Candidate | None:
        candidate = self.finished(rollout)
        wanted = self.services.config.summarizer.when == "always" or self.was_idle(rollout)  # the latter needs no model
        return await self.describe(candidate) if candidate is not None and wanted else candidate

    def finished(self, rollout: str) -> Candidate | None:
        """A finished rollout as a candidate; None before its end."""
        files = self.store.rollout(rollout)
        config, trajectory = self.services.config, files.trajectory()
        candidate = make_candidate(files, config, needs_patch=self.needs_patch)
        if candidate is None or trajectory is None or not candidate.patch_key:
            return candidate
        told = (key_of(self.store.rollout(parent).patch(), config) for parent in trajectory.parents)
        return candidate.model_copy(update={"derived": candidate.patch_key in told})

    async def describe(self, candidate: Candidate) -> Candidate:
        """The candidate with its summary, which is made now if it does not exist.

        Raises:
            LimitExceeded, ModelConfigError
        """
        if candidate.summary:
            return candidate
        files = self.store.rollout(candidate.id)
        async with self.describing[candidate.id]:
            summary = self._account_before(files) or await self._account(files)
        text = render(summary, self.services.config.summarizer.max_chars) if summary else ""
        return candidate.model_copy(update={"summary": text})

    def _account_before(self, files: RolloutStore) -> Summary | None:
        """The summary of an earlier heat's attempt that this one adopted unchanged."""
        trajectory, patch = files.trajectory(), files.patch()
        for parent in trajectory.parents if trajectory and patch else ():
            other = self.store.rollout(parent)
            if other.patch().sha256 == patch.sha256 and (summary := other.summary()):
                return summary
        return None

    @property
    def reads_summaries(self) -> bool:
        """Whether judges read summaries."""
        return "summary" in FIELDS[self.services.config.tournament.judge.view]

    def was_idle(self, rollout: str) -> bool:
        """Whether a rollout ran nothing and changed nothing."""
        files = self.store.rollout(rollout)
        trajectory = files.trajectory()
        return trajectory is not None and is_idle(trajectory, files.patch().data)

    async def _play(self, plan: Plan, files: RolloutStore, ledger: Ledger) -> Outcome:
        emit = self.services.events.emit
        outcome, patch = Outcome(rollout=plan.rollout, exit=None), Patch(b"")
        branch = self._branch(plan)
        resume = resumable(files.trajectory()) or branch
        attempts, trying = RetryBudget(self.services.config.retries), True
        while trying:
            async with self.services.slots.hold(self.order):
                emit("rollout_started", task=self.task.id, rollout=plan.rollout)
                try:
                    outcome, patch = await self._attempt(plan, files, ledger, resume)
                except Diverged as error:
                    emit("warning", task=self.task.id, rollout=plan.rollout, text=f"started over: {error}")
                    resume = branch = None
                    continue
            trying = outcome.failure is not None and await attempts.again(outcome.failure)
            resume = (resumable(files.trajectory()) if outcome.failure == "endpoint" else None) or branch
        played = policy_of(self.services.config, plan.index, plan.arm, plan.temperature)
        outcome = outcome.model_copy(update={"temperature": played.temperature})
        self._finish(files, outcome, patch)
        return outcome

    def _branch(self, plan: Plan) -> Trajectory | None:
        """The beginning of a rollout that branches off an earlier one."""
        if plan.context.branch is None:
            return None
        parent, turns = plan.context.branch
        earlier = self.store.rollout(parent).trajectory()
        return branch_of(earlier, turns, rollout=plan.rollout) if earlier is not None else None

    def _finish(self, files: RolloutStore, outcome: Outcome, patch: Patch) -> None:
        files.finish(outcome, patch)
        announce_outcome(self.services.events, self.task.id, outcome)

    async def _attempt(
        self, plan: Plan, files: RolloutStore, ledger: Ledger, resume: Trajectory | None
    ) -> tuple[Outcome, Patch]:
        policy = policy_of(self.services.config, plan.index, plan.arm, plan.temperature)
        session = self._session(plan.rollout, str(files.attempt(fresh=resume is None)), order=self.order)
        async with in_session(self.services.model_of(policy.model), session):
            return await self._attempt_in(session, policy, plan, files, ledger, resume)

    async def _attempt_in(
        self,
        session: Session,
        policy: Policy,
        plan: Plan,
        files: RolloutStore,
        ledger: Ledger,
        resume: Trajectory | None,
    ) -> tuple[Outcome, Patch]:
        services, task = self.services, self.task
        try:
            sandbox = await services.backend.start(services.spec(task, plan.rollout))
        except SandboxError as error:
            return Outcome(rollout=plan.rollout, exit=None, error=str(error), failure=class_of(error)), Patch(b"")
        waits = False
        try:
            await services.env.prepare(task, sandbox)
            workdir = task.runs_in or (await sandbox.exec("pwd", timeout=60)).text().strip()
            given = await put_context(sandbox, task, workdir, plan.context)
            running = services.agent.run(
                replace(self._assignment(plan, policy, session, resume, workdir), **given),
                StartsIn(sandbox, workdir) if task.folder else sandbox,
                services.model_of(policy.model),
                ledger,
                lambda so_far: self._step(files, so_far),
            )
            limit_s = self.clock.rollout_s(task.agent_timeout_s) if self.clock else task.agent_timeout_s
            ended = await in_time(running, limit_s, files)
            if ended is None:
                return Outcome(rollout=plan.rollout, exit=None, error="time ran out before the first step"), Patch(b"")
            trajectory = ended
            files.save_trajectory(trajectory)
            services.tell_of_models()
            if trajectory.exit is not None and trajectory.exit.kind in _WITHOUT_PATCH:
                return self._outcome(trajectory), Patch(b"")
            patch = await services.env.collect(task, sandbox)
            waits = self.states is not None and await self.states.hand_in(plan.rollout, sandbox, patch)
            return self._outcome(trajectory, patch), patch
        except PatchRejected as rejected:
            return self._outcome(trajectory, rejected=rejected.reasons), Patch(b"")
        except SetupFailed:
            raise
        except SandboxError as error:
            return Outcome(rollout=plan.rollout, exit=None, error=str(error), failure=class_of(error)), Patch(b"")
        finally:
            if not waits:
                await sandbox.close()

    def _assignment(
        self, plan: Plan, policy: Policy, session: Session, resume: Trajectory | None, workdir: str
    ) -> Assignment:
        seed = self.services.seed(self.task.id, plan.rollout)
        return Assignment(
            rollout_id=plan.rollout,
            task_id=self.task.id,
            instruction=self.task.statement,
            test_command=self.task.test_command,
            base=base_run(self.store.baseline()) if self.task.test_command else None,
            limits=self._limits_stated(resume),
            time_limit_s=self.clock.rollout_s(self.task.agent_timeout_s) if self.clock else self.task.agent_timeout_s,
            workdir=workdir,
            seed=seed,
            parents=plan.context.parents,
            knowledge=knowledge_of(self.services, self.task, self.store.directory, plan.rollout),
            resume=resume,
            slice=plan.slice,
            sampling=policy.sampling(seed).model_copy(update={"session": session}),
            drafter=self.services.draft_model,
        )

    def _limits_stated(self, resume: Trajectory | None) -> tuple[str, ...]:
        """The rollout's limits, in words: those it began with if it resumes, because it needs the same opening."""
        known = resume.extra.get("limits") if resume is not None else None
        return tuple(map(str, known)) if isinstance(known, list) else tuple(self._limits())

    def _limits(self) -> Iterator[str]:
        config, own = self.services.config, self.services.config.limits.rollout
        yield several(min(config.agent.step_limit, own.calls or config.agent.step_limit), "reply", "replies")
        task_s = self.clock.rollout_s(self.task.agent_timeout_s) if self.clock else self.task.agent_timeout_s
        limit_s = min((time_s for time_s in (own.time_s, task_s) if time_s is not None), default=None)
        if limit_s is not None:
            minutes, seconds = int(limit_s / 60), int(limit_s)
            yield f"{several(minutes, 'minute') if minutes > 1 else several(seconds, 'second')} in all"
        memory_mb = self.task.machine.memory_mb or config.sandbox.limits.memory_mb
        if self.services.backend.name != "local":
            yield f"{memory_mb} MB of memory"

    def _session(self, *scope: str, order: int = 0) -> Session:
        """The session of one part of this task; those of ended rollouts go before all rollouts."""
        return Session(id=session_id(self.services.run_id, self.task.id, *scope), order=order)

    def _step(self, files: RolloutStore, trajectory: Trajectory) -> None:
        files.save_trajectory(trajectory)
        if self.clock is not None:
            self.clock.save(durable=False)
        last = trajectory.steps[-1] if trajectory.steps else None
        over = trajectory.exit is not None  # `rollout_finished` follows
        if over or last is None or last.source != "agent" or (last.tool_calls and not last.observations):
            return
        if self.allocation is not None:
            self.allocation.step_taken(trajectory)
        command = last.tool_calls[-1].arguments if last.tool_calls else last.content
        exit_code = last.observations[-1].exit_code if last.observations else None
        self.services.tell_of_models()
        data = {"step": trajectory.agent_steps, "command": command[:200], "exit_code": exit_code}
        self.services.events.emit("rollout_step", task=self.task.id, rollout=trajectory.id, **data)

    def _outcome(self, trajectory: Trajectory, patch: Patch | None = None, rejected: tuple[str, ...] = ()) -> Outcome:
        end = trajectory.exit
        patch = patch or Patch(b"")
        return Outcome(
            rollout=trajectory.id,
            exit=end.kind if end else None,
            detail=end.detail if end else "",
            steps=trajectory.agent_steps - trajectory.copied_steps,
            duration_s=trajectory.duration_s,
            usage=trajectory.usage,
            patch_sha256=patch.sha256 if patch else "",
            patch_bytes=len(patch.data),
            rejected=rejected,
            notes=patch.notes,
            model=trajectory.model,
            seed=trajectory.seed,
            failure=self._failure(end),
        )

    def _failure(self, end: Exit | None) -> FailureClass | None:
        """What stopped an attempt that would otherwise have continued; its own limit does not count."""
        if end is None or end.kind not in LIMIT_EXITS.values():
            return FAILED_EXITS.get(end.kind) if end else None
        try:
            self.ledger.check()
        except LimitExceeded:
            return "budget"
        return None

    async def evidence_for(self, rollout: str) -> Evidence | None:
        """A winner's evidence, produced now if there is none yet; None without a test command.

        Raises:
            SandboxError: nothing could be determined.
        """
        files = self.store.rollout(rollout)
        if files.evidence() is None and self.task.test_command is not None:
            inside = Boundary(self.services, files, self.task.id)

            def failed(error: BaseException) -> None:
                self._unverified(files, error)
                if isinstance(error, SandboxError):
                    raise error

            await inside.contain("verification", lambda: self._execute(files), failed)
        return files.evidence()

    async def _evidence(self, files: RolloutStore) -> None:
        if self.services.config.evidence and self.task.test_command is not None and files.evidence() is None:
            await self._execute(files)

    async def _execute(self, files: RolloutStore) -> None:
        self.services.events.emit("verifying", task=self.task.id, rollout=files.rollout)
        evidence = await self.verify(files.patch(), files.rollout)
        files.save_evidence(evidence)
        announce_evidence(self.services.events, self.task.id, files.rollout, evidence)

    async def verify(self, patch: Patch, rollout: str) -> Evidence:
        """Run the user's tests on a patch in a fresh sandbox; an empty patch needs no sandbox and waits for none."""
        services, before = self.services, self.store.baseline()
        attempts = RetryBudget(services.config.retries)
        while True:
            try:
                async with services.slots.hold(self.order) if patch else nullcontext():
                    with paid(self.ledger, f"{self.task.id}/{rollout}") if patch else nullcontext():
                        return await verify(services.env, self.task, patch, services.bench(rollout), before=before)
            except SandboxError as error:
                if not await attempts.again(class_of(error)):
                    raise

    async def _account(self, files: RolloutStore) -> Summary | None:
        """The summary of a finished rollout; a plain one if making it with a model failed."""
        inside = Boundary(self.services, files, self.task.id)
        summary = await inside.contain("summary", lambda: self._summary(files), lambda _: None)
        return summary or await inside.contain("plain summary", lambda: self._plain_summary(files), lambda _: None)

    async def _plain_summary(self, files: RolloutStore) -> Summary | None:
        trajectory = files.trajectory()
        if trajectory is None:
            return None
        summary = harness_summary(trajectory, self.task.statement, files.patch().data)
        files.save_summary(summary)
        return summary

    async def _summary(self, files: RolloutStore) -> Summary | None:
        stored, trajectory = files.summary(), files.trajectory()
        if stored is not None or trajectory is None:
            return stored
        services = self.services
        in_own = services.config.summarizer.method == "conversation"  # whose prefix the rollout's server holds
        attempt = str(files.attempt(fresh=False))
        session = self._session(files.rollout, attempt) if in_own else self._session("summaries")
        write = partial(
            summarize,
            trajectory,
            statement=self.task.statement,
            patch=files.patch().data,
            ledger=self.ledger.child(f"{self.task.id}/{files.rollout}"),  # not the rollout's limit
            config=services.config.summarizer,
            seed=services.seed(self.task.id, files.rollout, "summary"),
            session=session,
        )
        routing = None if self.was_idle(files.rollout) else self.routing
        summary = await written(routing, files.rollout, services.summarizer_model, write, session)
        files.save_summary(summary)
        services.events.emit("summarized", task=self.task.id, rollout=files.rollout, source=summary.source)
        return summary
