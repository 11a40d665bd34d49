"""Import OpenHands' events, from a saved trajectory or the `history` of a row in `output.jsonl`.

Supports three generations: pairs of action and observation (before 0.10), one list of both, and the SDK's typed events
(1.x), which have a `kind`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agents.errors import TrajectoryFormatError
from agents.importers.draft import NO_TASK, Draft, call, text_of
from agents.trajectory import Exit, Trajectory

_SILENT = frozenset({"change_agent_state", "agent_state_changed", "null", "recall", "condensation", "pause", "resume"})


def from_openhands(events: object) -> Trajectory:
    """Convert a list of events to a trajectory. Events name neither task nor patch; a row of `output.jsonl` does.

    Raises:
        TrajectoryFormatError: they are not OpenHands' events.
    """
    draft, names = Draft(), dict[str, str]()
    finished = False
    for event in _flat(events):
        if "kind" in event:
            _typed(draft, event)
        elif "observation" in event:
            _observation(draft, event, names)
        elif "action" in event:
            _action(draft, event, names)
        else:
            raise TrajectoryFormatError("an event that is neither action nor observation")
        finished = finished or event.get("action") == "finish" or event.get("tool_name") == "finish"
    end = Exit(kind="submitted") if finished else Exit(kind="agent_failed", detail="it did not call finish")
    return Trajectory(id=NO_TASK, task_id=NO_TASK, agent="OpenHands", model="", seed=0, steps=draft.steps(), exit=end)


def _flat(events: object) -> Iterator[Mapping[str, Any]]:
    if not isinstance(events, Sequence) or isinstance(events, str):
        raise TrajectoryFormatError("events are not a list")
    for event in events:
        if isinstance(event, Mapping):
            yield event
        else:
            yield from _flat(event)


def _action(draft: Draft, event: Mapping[str, Any], names: dict[str, str]) -> None:
    kind, source = str(event["action"]), str(event.get("source") or "agent")
    args = event.get("args") or {}
    when = event.get("timestamp")
    if kind == "system" or (kind == "message" and source != "agent"):
        draft.say("system" if kind == "system" else "user", text_of(args.get("content") or event.get("message")), when)
    elif kind in ("message", "think") and source == "agent":
        draft.act(text_of(args.get("content") or args.get("thought")), when=when)
    elif kind not in _SILENT:
        origin = event.get("tool_call_metadata") or {}
        identity = str(origin.get("tool_call_id") or draft.new_id())
        names[str(event.get("id"))] = identity
        given = {name: value for name, value in args.items() if name != "thought" and value not in (None, "", False)}
        made = call(identity, origin.get("function_name") or kind, given)
        draft.act(text_of(args.get("thought") or args.get("final_thought")), [made], when=when)


def _observation(draft: Draft, event: Mapping[str, Any], names: Mapping[str, str]) -> None:
    if str(event["observation"]) in _SILENT:
        return
    extras = event.get("extras") or {}
    metadata = extras.get("metadata") or {}
    identity = names.get(str(event.get("cause")), "") or next((one.id for one in draft.waiting()), "")
    if identity:
        draft.observe(identity, text_of(event.get("content")), metadata.get("exit_code", extras.get("exit_code")))


def _typed(draft: Draft, event: Mapping[str, Any]) -> None:
    kind, when = str(event["kind"]), event.get("timestamp")
    if kind == "SystemPromptEvent":
        draft.say("system", text_of(event.get("system_prompt")), when)
    elif kind == "MessageEvent":
        message = event.get("llm_message") or {}
        if event.get("source") == "agent" or message.get("role") == "assistant":
            draft.act(text_of(message.get("content")), when=when)
        else:
            draft.say("user", text_of(message.get("content")), when)
    elif kind == "ActionEvent":
        made = event.get("tool_call") or {}
        arguments = made.get("arguments") or (made.get("function") or {}).get("arguments")
        if arguments is None:
            arguments = {name: one for name, one in (event.get("action") or {}).items() if name != "kind"}
        reasoning = str(event.get("reasoning_content") or "")
        calls = [call(event.get("tool_call_id") or draft.new_id(), event["tool_name"], arguments)]
        draft.act(text_of(event.get("thought")), calls, reasoning=reasoning, when=when)
    elif kind in ("ObservationEvent", "AgentErrorEvent", "UserRejectObservation"):
        seen = event.get("observation") or {}
        content = seen.get("content") or seen.get("output") or event.get("error") or event.get("rejection_reason")
        draft.observe(str(event.get("tool_call_id") or ""), text_of(content), seen.get("exit_code"))
