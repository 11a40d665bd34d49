"""Import SWE-agent's `.traj` (version 1): the opening messages of `history`, then the steps of `trajectory`."""

import json
from collections.abc import Mapping
from typing import Any

from agents.importers.draft import NO_TASK, Draft, command, text_of
from agents.llm.ledger import Usage
from agents.trajectory import Exit, ExitKind, Trajectory

_EXITS: Mapping[str, ExitKind] = {
    "exit_cost": "cost_limit",
    "exit_context": "context_overflow",
    "exit_format": "format_errors",
    "exit_total_execution_time": "time_limit",
    "exit_command_timeout": "time_limit",
    "exit_environment_error": "sandbox_lost",
    "exit_api": "model_error",
}


def from_swe_agent(document: Mapping[str, Any]) -> Trajectory:
    """Convert a `.traj` document to a trajectory; its submission, a patch, becomes `extra["submission"]`.

    Task ID, model name and issue text come from the settings that SWE-agent stores for replays; older files lack them.
    """
    info, settings = document.get("info") or {}, _settings(document)
    problem = settings.get("problem_statement") or {}
    draft = Draft()
    for message in document.get("history") or ():
        if message.get("role") not in ("system", "user"):
            break
        draft.say(message["role"], text_of(message.get("content")))
    for step in document["trajectory"]:
        _read_step(draft, step)
    name = str(problem.get("id") or NO_TASK)
    extra: dict[str, Any] = {"submission": info.get("submission") or ""}
    if isinstance(problem.get("text"), str) and problem["text"].strip():
        extra["statement"] = problem["text"]
    return Trajectory(
        id=name,
        task_id=name,
        agent="SWE-agent",
        model=str((((settings.get("agent") or {}).get("model")) or {}).get("name") or ""),
        seed=0,
        steps=draft.steps(),
        exit=_exit(str(info.get("exit_status") or "")),
        usage=_usage(info.get("model_stats") or {}),
        extra=extra,
    )


def _settings(document: Mapping[str, Any]) -> Mapping[str, Any]:
    kept = document.get("replay_config")
    try:
        found = json.loads(kept) if isinstance(kept, str) else kept
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _read_step(draft: Draft, step: Mapping[str, Any]) -> None:
    action = str(step.get("action") or "").strip()
    calls = [command(draft.new_id(), action)] if action else []
    draft.act(str(step.get("thought") or step.get("response") or ""), calls)
    draft.observe(calls[0].id if calls else "", str(step.get("observation") or ""))


def _exit(status: str) -> Exit:
    """Map a status; `submitted (exit_cost)` means that a limit was reached and the tree was submitted unfinished."""
    limit = next((kind for word, kind in _EXITS.items() if word in status), None)
    return Exit(kind=limit or ("submitted" if status.startswith("submitted") else "agent_failed"), detail=status)


def _usage(stats: Mapping[str, Any]) -> Usage:
    return Usage(
        calls=int(stats.get("api_calls") or 0),
        prompt_tokens=int(stats.get("tokens_sent") or 0),
        completion_tokens=int(stats.get("tokens_received") or 0),
        cost_usd=float(stats.get("instance_cost") or 0.0),
    )
