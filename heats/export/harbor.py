"""Export a run as a Harbor job: one directory per rollout, with its trajectory, patch, test output and reward.

Each heat becomes a separate agent (`heats-heat-0`): rollouts of a later heat have read earlier ones, so pass@k over all
of them would be meaningless. Source: harbor 0.25, `models/trial/result.py`, `models/job/result.py`.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from agents.atif import to_atif
from core.ids import RolloutId
from core.sanitize import for_screen, one_line
from heats.report.figures import pass_at_k
from heats.report.timeline import by_task, drawn_events
from heats.store.files import slug, write_bytes
from heats.store.reader import RolloutFacts, TaskFacts, read_task, task_ids
from heats.store.records import Outcome
from heats.store.store import RunStore

_EXCEPTIONS = {
    None: "SandboxLostError",
    "sandbox_lost": "SandboxLostError",
    "model_error": "ApiError",
    "time_limit": "AgentTimeoutError",
    "context_overflow": "ContextWindowExceededError",
    "cancelled": "CancelledError",
}
"""Exits that Harbor records as exceptions; its retry policy uses these names."""

Times = Mapping[str, tuple[str, str]]
"""Start and end of each rollout of a task, ISO 8601."""


@dataclass(frozen=True, slots=True)
class _Job:
    name: str
    id: UUID
    source: str | None
    digests: Mapping[str, str]
    directory: Path


def export_harbor(run: RunStore, directory: Path) -> list[Path]:
    """Write `harbor/<run>/`: `config.json`, `result.json`, and a trial directory for every finished rollout.

    Returns:
        The job's directory.
    """
    job, results = _job(run, directory), []
    times = {task: _times(events) for task, events in by_task(drawn_events(run)).items()}
    pending = 0
    for task in task_ids(run):
        facts = read_task(run, task)
        for one in facts.rollouts():
            if one.outcome is None:
                pending += 1
                continue
            results.append(_write_trial(job, facts, one, one.outcome, times.get(task, {}).get(one.id)))
    _write(job.directory / "config.json", _job_config(job, results))
    _write(job.directory / "result.json", _job_result(job, results, pending))
    return [job.directory]


def _job(run: RunStore, directory: Path) -> _Job:
    manifest = run.manifest
    tasks, env = manifest.identity.get("tasks"), manifest.identity.get("env")
    name = slug(manifest.run_id)
    return _Job(
        name=name,
        id=uuid5(NAMESPACE_URL, f"heats:{manifest.run_id}"),
        source=str(env) if env else None,
        digests={str(task): str(digest) for task, digest in tasks.items()} if isinstance(tasks, dict) else {},
        directory=directory / "harbor" / name,
    )


def _times(events: Iterable[Any]) -> dict[str, tuple[str, str]]:
    started: dict[str, str] = {}
    found: dict[str, tuple[str, str]] = {}
    for event in events:
        if event.kind == "rollout_started":
            started[event.rollout] = event.time
        elif event.kind == "rollout_finished":
            found[event.rollout] = (started.get(event.rollout, event.time), event.time)
    return found


def _write_trial(
    job: _Job, task: TaskFacts, one: RolloutFacts, outcome: Outcome, times: tuple[str, str] | None
) -> dict[str, Any]:
    files, name = task.store.rollout(one.id), _trial_name(task.id, one.id)
    place = job.directory / name
    trajectory, patch = files.trajectory(), files.patch().data
    if trajectory is not None:
        _write(place / "agent" / "trajectory.json", to_atif(trajectory, session_id=f"{job.name}/{task.id}"))
    if patch:
        write_bytes(place / "artifacts" / "patch.diff", patch, mode=0o644)
    rewards = _rewards(one)
    report = one.grade.report if one.grade is not None else one.evidence.after if one.evidence is not None else None
    if report is not None and report.output:
        _write_text(place / "verifier" / "test-stdout.txt", for_screen(report.output))
    if rewards is not None:
        _write(place / "verifier" / "reward.json", rewards)
    result = _trial_result(job, task, one, outcome, times)
    if result["exception_info"] is not None:
        info = result["exception_info"]
        _write_text(place / "exception.txt", f"{info['exception_type']}: {info['exception_message']}\n")
    _write(place / "config.json", result["config"])
    _write(place / "result.json", result)
    return result


def _trial_name(task: str, rollout: str) -> str:
    plain = slug(task)
    short = plain if len(plain) <= 40 else f"{plain[:32]}-{sha256(plain.encode()).hexdigest()[:7]}"
    one = RolloutId.parse(rollout)
    return f"{short}__h{one.heat}-r{one.index:02d}"


def _rewards(one: RolloutFacts) -> dict[str, float] | None:
    """The hidden tests' grade as `reward`, else the result of the user's own tests as `verified`."""
    if one.grade is not None:
        return None if one.grade.outcome == "invalid" else {"reward": float(one.grade.outcome == "pass")}
    return None if one.evidence is None else {"verified": float(one.evidence.verdict == "verified")}


def _trial_result(
    job: _Job, task: TaskFacts, one: RolloutFacts, outcome: Outcome, times: tuple[str, str] | None
) -> dict[str, Any]:
    name, heat = _trial_name(task.id, one.id), RolloutId.parse(one.id).heat
    path, model = f"tasks/{slug(task.id)}", _model(task, outcome)
    agent = f"heats-heat-{heat}"
    timing = {"started_at": times[0], "finished_at": times[1]} if times is not None else None
    rewards, usage = _rewards(one), outcome.usage
    return {
        "id": str(uuid5(job.id, f"{task.id}/{one.id}")),
        "task_name": one_line(task.id, 400),
        "trial_name": name,
        "trial_uri": (job.directory / name).resolve().as_uri(),
        "task_id": {"path": path},
        "source": job.source,
        "task_checksum": job.digests.get(task.id, ""),
        "config": {
            "task": {"path": path, "source": job.source},
            "trial_name": name,
            "trials_dir": job.name,
            "agent": {"name": agent, "model_name": model},
            "job_id": str(job.id),
        },
        "agent_info": {"name": agent, "version": _version(), "model_info": {"name": model} if model else None},
        "agent_result": {
            "n_input_tokens": usage.prompt_tokens,
            "n_cache_tokens": usage.cached_tokens,
            "n_output_tokens": usage.completion_tokens,
            "cost_usd": usage.cost_usd,
            "metadata": {
                "rollout": one.id,
                "exit": outcome.exit,
                "steps": outcome.steps,
                "kept": one.id in task.kept(heat),
                "selected": one.id == task.selected,
                "verdict": one.evidence.verdict if one.evidence is not None else None,
            },
        },
        "verifier_result": {"rewards": rewards} if rewards is not None else None,
        "exception_info": _exception(one, outcome, times),
        "started_at": times[0] if times else None,
        "finished_at": times[1] if times else None,
        "agent_execution": timing,
    }


def _model(task: TaskFacts, outcome: Outcome) -> str | None:
    """The rollout's model or, if no attempt could be made, the model of its siblings."""
    others = (one.outcome.model for one in task.rollouts() if one.outcome is not None and one.outcome.model)
    return one_line(outcome.model or next(others, ""), 400) or None


def _exception(one: RolloutFacts, outcome: Outcome, times: tuple[str, str] | None) -> dict[str, Any] | None:
    kind = _EXCEPTIONS.get(outcome.exit)
    said = outcome.error or outcome.detail or outcome.exit or "no attempt could be made"
    if kind is None and one.grade is not None and one.grade.outcome == "invalid":
        kind, said = "VerifierError", one.grade.reason
    if kind is None:
        return None
    when = times[1] if times is not None else datetime.fromtimestamp(0, UTC).isoformat()
    message = one_line(said, 1000)
    return {"exception_type": kind, "exception_message": message, "exception_traceback": "", "occurred_at": when}


def _job_config(job: _Job, results: list[dict[str, Any]]) -> dict[str, Any]:
    agents = {one["agent_info"]["name"]: one["config"]["agent"] for one in results}
    paths = dict.fromkeys(one["task_id"]["path"] for one in results)
    counts = [len(trials) for trials in _grouped(results).values()]
    return {
        "job_name": job.name,
        "jobs_dir": "harbor",
        "n_attempts": max((count // max(len(paths), 1) for count in counts), default=1) or 1,
        "agents": list(agents.values()),
        "tasks": [{"path": path, "source": job.source} for path in paths],
    }


def _job_result(job: _Job, results: list[dict[str, Any]], pending: int) -> dict[str, Any]:
    moments = sorted(moment for one in results for moment in (one["started_at"], one["finished_at"]) if moment)
    first, last = (moments[0], moments[-1]) if moments else ("1970-01-01T00:00:00Z",) * 2
    spent = [one["agent_result"] for one in results]
    names = ("n_input_tokens", "n_cache_tokens", "n_output_tokens", "cost_usd")
    errors = [one for one in results if one["exception_info"] is not None]
    return {
        "id": str(job.id),
        "started_at": first,
        "updated_at": last,
        "finished_at": None if pending else last,
        "n_total_trials": len(results) + pending,
        "stats": {
            "n_completed_trials": len(results),
            "n_errored_trials": len(errors),
            "n_pending_trials": pending,
            "n_cancelled_trials": sum(one["exception_info"]["exception_type"] == "CancelledError" for one in errors),
            **{name: sum(one[name] for one in spent) for name in names},
            "evals": {key: _statistics(trials) for key, trials in _grouped(results).items()},
        },
    }


def _grouped(results: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Trials by `<agent>__<model>__<data set>`."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in results:
        info = one["agent_info"]
        parts = [info["name"], (info["model_info"] or {}).get("name"), one["source"] or "adhoc"]
        found["__".join(part for part in parts if part)].append(one)
    return found


def _statistics(trials: list[dict[str, Any]]) -> dict[str, Any]:
    rewards: dict[str, dict[float, list[str]]] = defaultdict(lambda: defaultdict(list))
    exceptions: dict[str, list[str]] = defaultdict(list)
    tasks: dict[str, list[int]] = defaultdict(list)
    for one in trials:
        given = (one["verifier_result"] or {}).get("rewards")
        for key, value in (given or {}).items():
            rewards[key][value].append(one["trial_name"])
        if one["exception_info"] is not None:
            exceptions[one["exception_info"]["exception_type"]].append(one["trial_name"])
        tasks[one["task_name"]].append(int(sum((given or {}).values())))
    return {
        "n_trials": sum(one["verifier_result"] is not None for one in trials),
        "n_errors": sum(one["exception_info"] is not None for one in trials),
        "pass_at_k": dict(_pass_at_k(tasks)),
        "reward_stats": rewards,
        "exception_stats": exceptions,
    }


def _pass_at_k(tasks: Mapping[str, list[int]]) -> Iterator[tuple[int, float]]:
    """pass@k for the k that Harbor shows: powers of two and multiples of five. Ungraded rollouts count as failed."""
    fewest = min(map(len, tasks.values()))
    for k in range(2, fewest + 1):
        if k % 5 == 0 or k & (k - 1) == 0:
            shares = [pass_at_k(len(passed), sum(passed), k) for passed in tasks.values()]
            yield k, sum(shares) / len(shares)


def _write(path: Path, value: Any) -> None:
    write_bytes(path, json.dumps(value, indent=1).encode() + b"\n", mode=0o644)


def _write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8", "replace"), mode=0o644)


def _version() -> str:
    try:
        return metadata.version("heats")
    except metadata.PackageNotFoundError:
        return "0"
