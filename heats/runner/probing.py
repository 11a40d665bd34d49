"""Executes code for judges of one heat (`tournament.probe.Probe`): scripts on every contestant, and inquiries.

Everything runs in fresh sandboxes without network, within the task's budget for evidence, and is stored: a resumed heat
repeats no script and continues an interrupted inquiry.
"""

import json
import re
import time
from hashlib import sha256
from typing import Any

from agents.base import Assignment
from agents.inquiry import InquiryAgent, choice_of
from agents.llm.base import Sampling
from agents.llm.session import in_session
from agents.prompting import Prompts
from agents.resume import Diverged, resumable
from agents.trajectory import LIMIT_EXITS, Trajectory
from core.text import elide
from envs.base import Patch
from envs.probe import Trees, run_script, trees_of
from heats.runner.candidates import key_of
from heats.runner.evidence_cells import EvidenceCells, Job
from heats.runner.rollout import TaskRun
from heats.store.cross_store import CrossStore
from heats.store.records import CrossCell, ProbeScript
from sandbox.base import ExecResult
from sandbox.errors import SandboxLost
from tournament.probe import Executed, Finding, Inquiry
from tournament.prompt_judge import session_of
from tournament.view import FIELDS

_MOST_SCRIPTS = 3
"""Scripts shown in one match: its own, and the latest of earlier matches."""
_KEPT_CHARS = 10_000
_OUTPUT = "output"
_STAGES = "rsp"
"""First letters of match ids in the order in which such matches are played."""


def open_probe(run: TaskRun, heat: int) -> "HeatProbe | None":
    """Open what judges of a heat may execute; None if they execute nothing or there are no sandboxes."""
    services = run.services
    if services.config.tournament.judge.view != "probe" or run.task.submission != "patch":
        return None
    if services.backend.name == "none":
        text = "judges only read: tournament.judge.view=probe needs sandboxes, which `heats select` has with --repo"
        services.events.emit("warning", task=run.task.id, heat=heat, text=text)
        return None
    return HeatProbe(run, heat)


class HeatProbe:
    """The `Probe` of one heat; close it after the selection."""

    def __init__(self, run: TaskRun, heat: int) -> None:
        self.task_run, self.heat = run, heat
        self.settings = run.services.config.tournament.judge.probe
        self.store = CrossStore(run.store.directory)
        self.cells = EvidenceCells(run, heat, self.store)
        self.scripts = self.store.scripts(heat)

    def close(self) -> None:
        """Close the files."""
        self.store.close()

    def script(self, match_id: str, contestants: tuple[str, ...]) -> str | None:
        """See `Probe.script`."""
        found = (one for one in self.scripts if (one.match, one.contestants) == (match_id, contestants))
        return next((one.script for one in found), None)

    async def run(self, match_id: str, contestants: tuple[str, ...], script: str) -> tuple[Executed, ...]:
        """See `Probe.run`.

        Args:
            match_id: ID of the match.
            contestants: its candidate IDs.
            script: the script; empty to run only those of earlier matches.
        """
        if self.script(match_id, contestants) is None:
            self.scripts.append(ProbeScript(match=match_id, contestants=contestants, script=script))
            self.store.add_script(self.heat, self.scripts[-1])
        patches = {one: self._patch(one) for one in contestants}
        keys = {one: key_of(patch, self.task_run.services.config) for one, patch in patches.items()}
        columns = {"": Patch(b""), **{keys[one]: patches[one] for one in reversed(contestants)}}
        shown = self._shown(match_id, contestants)
        await self.cells.run([self._job(one.script, key, patch) for one in shown for key, patch in columns.items()])
        ran = ((one, {key: self.cells.cells.get((_digest(one.script), key)) for key in columns}) for one in shown)
        return tuple(_executed(one, keys, found) for one, found in ran if all(found.values()))

    async def inquire(self, inquiry: Inquiry) -> Finding:
        """See `Probe.inquire`; without a sandbox the inquiry is lost."""
        digest = sha256(repr(sorted(inquiry.shown)).encode()).hexdigest()[:8]
        name = f"{inquiry.match}-{digest}-{inquiry.number}"
        if not self.cells.affordable:
            return Finding(choice=None, reason="the task's budget for evidence is spent", lost=True)
        started = time.monotonic()
        found = await self.cells.surely(lambda: self._inquire(inquiry, name))
        self.cells.keep(CrossCell(tests=f"inquiry {name}", patch="", seconds=round(time.monotonic() - started, 2)))
        return found or Finding(choice=None, reason="no sandbox could be had", lost=True)

    def _patch(self, rollout: str) -> Patch:
        return self.task_run.store.rollout(rollout).patch()

    def _shown(self, match_id: str, contestants: tuple[str, ...]) -> list[ProbeScript]:
        """Return the match's script and the latest of its contestants' earlier matches, without repetitions."""
        own = [one for one in self.scripts if (one.match, one.contestants) == (match_id, contestants)]
        earlier = [
            one
            for one in self.scripts
            if _when(one.match) < _when(match_id) and not set(one.contestants).isdisjoint(contestants)
        ]
        ordered = [*own, *sorted(earlier, key=lambda one: (_when(one.match), one.match), reverse=True)]
        different = {one.script: one for one in reversed(ordered) if one.script}
        return list(reversed(different.values()))[:_MOST_SCRIPTS]

    def _job(self, script: str, key: str, patch: Patch) -> Job:
        cell = CrossCell(tests=_digest(script), patch=key)
        return Job(cell.tests, key, 0, lambda: self._cell(script, cell, patch))

    async def _cell(self, script: str, cell: CrossCell, patch: Patch) -> CrossCell:
        services, task = self.task_run.services, self.task_run.task
        limit = self.settings.script_timeout_s
        bench = services.bench("probe")
        result, problem = await run_script(services.env, task, patch, bench, script, timeout_s=limit)
        if result is None:
            return cell.model_copy(update={"status": "failed", "problem": problem, "words": {_OUTPUT: problem}})
        status = ("passed" if result.ok else "failed") if result.status == "exited" else result.status
        return cell.model_copy(update={"status": status, "words": {_OUTPUT: _told(result, limit)}})

    async def _inquire(self, inquiry: Inquiry, name: str) -> Finding:
        """Hold or continue one inquiry in a sandbox of its own.

        Raises:
            LimitExceeded, ModelConfigError, SetupFailed, SandboxError
        """
        services, task = self.task_run.services, self.task_run.task
        patches = {label: self._patch(one) for label, one in zip(inquiry.labels, inquiry.shown, strict=True)}
        files = self.task_run.store.inquiry(self.heat, name)
        resume = resumable(files.trajectory())
        while True:
            async with trees_of(services.env, task, patches, services.bench(f"inquiry/{name}")) as trees:
                try:
                    return await self._converse(inquiry, files.rollout, trees, resume, files.save_trajectory)
                except Diverged:
                    resume = None

    async def _converse(
        self, inquiry: Inquiry, name: str, trees: Trees, resume: Trajectory | None, save: Any
    ) -> Finding:
        config, judge = self.task_run.services.config, self.task_run.services.config.tournament.judge
        session = session_of(inquiry.ledger, inquiry.seed)
        assignment = Assignment(
            rollout_id=name,
            task_id=self.task_run.task.id,
            instruction="",
            workdir=self.task_run.task.runs_in,
            seed=inquiry.seed % 2**31,
            resume=resume,
            sampling=Sampling(
                temperature=judge.temperature, max_tokens=judge.max_tokens, seed=inquiry.seed % 2**31, session=session
            ),
        )
        update = {"step_limit": self.settings.steps, "command_timeout_s": self.settings.command_timeout_s}
        prompts = self.settings.model_dump(include={"system", "user", "last", "format_error"})
        agent = InquiryAgent(
            config.agent.model_copy(update=update),
            Prompts([*prompts.items(), ("observation", config.agent.templates.observation)]),
            inquiry.labels,
            {
                "shown": FIELDS[judge.view],
                "data": _with_missing(inquiry.data, trees),
                "trees": trees.folder,
                "workdir": self.task_run.task.workdir,
                "command_timeout_s": self.settings.command_timeout_s,
            },
        )
        async with in_session(inquiry.model, session):
            trajectory = await agent.run(assignment, trees.sandbox, inquiry.model, inquiry.ledger, save)
        return _finding(trajectory, inquiry)


def _finding(trajectory: Trajectory, inquiry: Inquiry) -> Finding:
    """Return what an inquiry ended with.

    Raises:
        LimitExceeded: a limit ended it.
        SandboxLost: its sandbox is gone.
    """
    kind, detail = (trajectory.exit.kind, trajectory.exit.detail) if trajectory.exit else ("cancelled", "")
    if kind in LIMIT_EXITS.values():
        inquiry.ledger.check()
    if kind == "sandbox_lost":
        raise SandboxLost(detail)
    vote = choice_of(trajectory)
    if vote is not None:
        return Finding(choice=vote.choice, reason=vote.reason)
    reason = f"the inquiry ended without a vote ({kind}{': ' if detail else ''}{detail})"
    return Finding(choice=None, reason=reason, lost=kind == "model_error")


def _with_missing(data: str, trees: Trees) -> str:
    """Say in the judge's data which trees are the base, because their patch does not apply."""
    if not trees.missing:
        return data
    return json.dumps(json.loads(data) | {"patches that do not apply": sorted(trees.missing)}, ensure_ascii=False)


def _executed(script: ProbeScript, keys: dict[str, str], found: dict[str, CrossCell | None]) -> Executed:
    said = {key: cell.words.get(_OUTPUT, "") for key, cell in found.items() if cell is not None}
    outputs = {one: said[key] for one, key in keys.items()}
    return Executed(match=script.match, script=script.script, base=said[""], outputs=outputs)


def _told(result: ExecResult, limit: float) -> str:
    """Return how a script ended and what it printed."""
    ended = f"exit code {result.exit_code}" if result.status == "exited" else result.status
    if result.status == "timeout":
        ended = f"stopped after {limit:g} seconds"
    return f"{ended}\n{elide(result.text(), _KEPT_CHARS // 2, _KEPT_CHARS // 2)[0]}".strip()


def _digest(script: str) -> str:
    return sha256(f"probe {script}".encode("utf-8", "surrogatepass")).hexdigest()


def _when(match_id: str) -> tuple[int, int]:
    """Order of a match's round: `r0-m3` comes before `r1-m0`, and play-offs come last."""
    found = re.match(r"([a-z])(\d+)-", match_id)
    return (_STAGES.find(found[1]), int(found[2])) if found else (0, 0)
