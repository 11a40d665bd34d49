"""How events and actions change a task's state: the same for the runner, the simulator and a replay."""

from collections.abc import Iterable, Iterator
from typing import Any

from core.ids import RolloutId
from heats.policies.base import NOT_STARTED, Action, Attempt, Event, TaskState, end_heat, end_task


def after(state: TaskState, event: Event) -> TaskState:
    """The state that an event leads to."""
    match event.kind:
        case "heat":
            return state.model_copy(update={"heat": event.heat, "over": False, "paused": False})
        case "attempt" | "half":
            latest = event.attempt
            known = tuple(latest if latest and one.rollout == latest.rollout else one for one in state.attempts)
            return state.model_copy(update={"attempts": known})
        case "bracket":
            behaviours = {**state.behaviours, **event.behaviours}
            return state.model_copy(update={"over": True, "selected": event.selected, "behaviours": behaviours})
        case "pass":
            return state.model_copy(update={"paused": False, "passes": event.number})


def legal(state: TaskState, event: Event, actions: Iterable[Action]) -> Iterator[Action]:
    """The actions that are possible, and one that ends what would otherwise stand still.

    Args:
        state: the state that the event led to.
        event: the event.
        actions: the policy's answer.
    """
    for action in actions:
        if _possible(state, event, action):
            if action.do == "start":
                action = action.model_copy(update={"count": min(action.count, state.open)})
            state = acted(state, action)
            yield action
    if event.kind == "bracket":
        if state.over and not state.final:
            yield end_task()
    elif not (state.over or state.paused or state.running()):
        yield end_heat(NOT_STARTED if state.open else "")


def _possible(state: TaskState, event: Event, action: Action) -> bool:
    if state.final:
        return False
    if action.do == "end_task":
        return True
    if event.kind == "bracket":
        return action.do == "next_heat" and state.over and state.heat + 1 < state.heats
    if state.over or state.paused:
        return False
    match action.do:
        case "start":
            known = action.arm is None or 0 <= action.arm < len(state.arms)
            return known and action.count > 0 and state.open > 0
        case "drop":
            return any(one.rollout == action.rollout for one in state.running())
        case "pause":
            return event.kind != "pass" and not state.running()
    return action.do in ("end_heat", "allow")


def acted(state: TaskState, action: Action) -> TaskState:
    """The state that an action leads to."""
    match action.do:
        case "start":
            first = len(state.of_heat())
            new = (
                Attempt(
                    rollout=str(RolloutId(state.heat, index)),
                    heat=state.heat,
                    arm=action.arm,
                    temperature=action.temperature,
                )
                for index in range(first, first + action.count)
            )
            return state.model_copy(update={"attempts": (*state.attempts, *new)})
        case "drop":
            return state.model_copy(update={"attempts": _dropped(state, action.rollout)})
        case "end_heat":
            return state.model_copy(update={"attempts": _dropped(state), "over": True})
        case "next_heat":
            return state.model_copy(update={"heat": state.heat + 1, "over": False, "context": action.context})
        case "end_task":
            ended = {one.rollout for one in state.ended()}
            chosen = action.rollout if action.rollout in ended else ""
            update: dict[str, Any] = {"attempts": _dropped(state), "over": True, "final": True, "chosen": chosen}
            return state.model_copy(update=update)
        case "pause":
            return state.model_copy(update={"paused": True})
        case "allow":
            return state.model_copy(update={"allowed": len(state.attempts) + action.count})


def _dropped(state: TaskState, rollout: str = "") -> tuple[Attempt, ...]:
    """The attempts, with one that is running, or all of these, dropped."""
    return tuple(
        one.model_copy(update={"state": "dropped"}) if one.state == "running" and rollout in ("", one.rollout) else one
        for one in state.attempts
    )


def replayed(state: TaskState, decisions: Iterable[tuple[Event, Iterable[Action]]]) -> TaskState:
    """The state after a journal's events and actions."""
    for event, actions in decisions:
        state = after(state, event)
        for action in actions:
            state = acted(state, action)
    return state
