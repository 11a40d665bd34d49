"""Import Trae Agent's trajectory files."""

from collections.abc import Mapping
from typing import Any

from agents.importers.draft import NO_TASK, Draft, call, text_of, tokens
from agents.trajectory import Exit, Trajectory


def from_trae(document: Mapping[str, Any]) -> Trajectory:
    """Convert Trae Agent's record of one run, which names no task and contains no patch."""
    draft = Draft()
    draft.say("user", text_of(document.get("task")), document.get("start_time"))
    for step in document["agent_steps"]:
        reply = step.get("llm_response") or {}
        made = step.get("tool_calls") or reply.get("tool_calls") or ()
        calls = [call(one.get("call_id"), one["name"], one.get("arguments")) for one in made]
        usage = tokens(reply["usage"]) if reply.get("usage") else None
        draft.act(text_of(reply.get("content")), calls, usage=usage, when=step.get("timestamp"))
        for result in step.get("tool_results") or ():
            output = result.get("result") or result.get("error")
            draft.observe(str(result.get("call_id") or ""), text_of(output))
    done = document.get("success") is True
    end = Exit(kind="submitted") if done else Exit(kind="agent_failed", detail=str(document.get("final_result") or ""))
    return Trajectory(
        id=NO_TASK,
        task_id=NO_TASK,
        agent="trae-agent",
        model=str(document.get("model") or ""),
        seed=0,
        steps=draft.steps(),
        exit=end,
        usage=draft.usage(),
        duration_s=float(document.get("execution_time") or 0.0),
    )
