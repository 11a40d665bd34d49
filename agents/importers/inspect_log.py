"""Import samples of inspect_ai logs (EvalLog version 2): each sample, in each epoch, is a rollout.

Scores are ignored, as they are grades; only the patch that SWE-bench's scorer stores beside its verdict is read.
"""

from collections.abc import Mapping
from typing import Any

from agents.errors import TrajectoryFormatError
from agents.importers.draft import NO_TASK, Draft, call, text_of, tokens
from agents.llm.ledger import Usage
from agents.trajectory import Exit, ExitKind, Trajectory

_ATTACHMENT = "attachment://"
_LIMITS: Mapping[str, ExitKind] = {
    "message": "step_limit",
    "time": "time_limit",
    "working": "time_limit",
    "token": "token_limit",
    "cost": "cost_limit",
    "context": "context_overflow",
}


def from_inspect_sample(sample: Mapping[str, Any], model: str = "") -> Trajectory:
    """Convert one sample to a trajectory; its patch, if a scorer stored one, becomes `extra["submission"]`.

    Args:
        sample: the sample.
        model: name of the model, from the log's header.
    """
    kept = sample.get("attachments") or {}
    draft = Draft()
    for message in sample.get("messages") or ():
        _read(draft, message, kept)
    name = str(sample["id"]) if sample.get("id") is not None else NO_TASK
    return Trajectory(
        id=f"{name}/epoch-{sample.get('epoch') or 1}",
        task_id=name,
        agent="inspect_ai",
        model=model,
        seed=0,
        steps=draft.steps(),
        exit=_exit(sample),
        usage=sum((tokens(one) for one in (sample.get("model_usage") or {}).values()), Usage()),
        duration_s=float(sample.get("total_time") or 0.0),
        extra={"submission": _patch(sample, kept)},
    )


def _read(draft: Draft, message: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
    role, content = message.get("role"), _resolved(message.get("content"), kept)
    if role == "assistant":
        calls = [
            call(one["id"], one["function"], _resolved(one.get("arguments"), kept))
            for one in message.get("tool_calls") or ()
        ]
        parts = content if isinstance(content, list) else [content]
        thought = [str(one.get("reasoning") or "") for one in parts if _is_reasoning(one)]
        spoken = [one for one in parts if not _is_reasoning(one)]
        draft.act(text_of([one for one in spoken if one]), calls, reasoning="\n".join(thought))
    elif role == "tool":
        failed = message.get("error") or {}
        text = text_of(content) or str(failed.get("message") or "")
        draft.observe(str(message.get("tool_call_id") or ""), text)
    elif role in ("system", "user"):
        draft.say(role, text_of(content))
    else:
        raise TrajectoryFormatError(f"a message of unknown role {role!r}")


def _is_reasoning(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "reasoning"


def _resolved(value: Any, kept: Mapping[str, Any]) -> Any:
    """Replace references to attachments, which hold long texts, by their content."""
    if isinstance(value, str):
        return kept.get(value.removeprefix(_ATTACHMENT), value) if value.startswith(_ATTACHMENT) else value
    if isinstance(value, list):
        return [_resolved(one, kept) for one in value]
    if isinstance(value, dict):
        return {name: _resolved(one, kept) for name, one in value.items()}
    return value


def _patch(sample: Mapping[str, Any], kept: Mapping[str, Any]) -> str:
    scores = sample.get("scores") or {}
    notes = [(score or {}).get("metadata") or {} for score in scores.values()]
    found = (note.get("model_patch") for note in (*notes, sample.get("metadata") or {}, sample.get("store") or {}))
    patch = next((one for one in found if isinstance(one, str) and one.strip()), "")
    return str(_resolved(patch, kept))


def _exit(sample: Mapping[str, Any]) -> Exit:
    if sample.get("error"):
        return Exit(kind="agent_failed", detail=str(sample["error"].get("message") or "")[:200])
    limit = (sample.get("limit") or {}).get("type")
    return Exit(kind=_LIMITS.get(str(limit), "step_limit"), detail=str(limit)) if limit else Exit(kind="submitted")
