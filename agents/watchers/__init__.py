"""Watchers of a rollout. `agent.watchers` lists them by name; none watches unless it is listed.

`base.py` defines what a watcher is. docs/watchers.md says where each comes from.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from agents.watchers.base import AfterTurn, AtCall, Refuse, Restart, Say, Seen, Stop, Watcher
from core.registry import Registry

__all__ = [
    "WATCHERS",
    "AfterTurn",
    "AtCall",
    "Refuse",
    "Restart",
    "Say",
    "Seen",
    "Stop",
    "Watcher",
    "open_watchers",
]

WATCHERS = Registry(
    "watcher",
    {
        "check-again": "agents.watchers.check_again:CheckAgain",
        "reserve": "agents.watchers.reserve:Reserve",
        "loop-guard": "agents.watchers.loop_guard:LoopGuard",
        "fresh-start": "agents.watchers.fresh_start:FreshStart",
        "decline": "agents.watchers.decline:Decline",
    },
)


def open_watchers(names: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> tuple[Watcher, ...]:
    """Construct watchers, in order.

    Args:
        names: short names or `module:Class`.
        options: each watcher's settings, by its name.

    Raises:
        UnknownPart: there is no such name, module or class.
        InvalidOptions: a watcher's settings do not match its `Options`.
    """
    opened = []
    for name in names:
        watcher: Watcher = WATCHERS.open(name, options=options.get(name, {}), key=f"agent.watcher_options.{name}")
        watcher.name = name
        opened.append(watcher)
    return tuple(opened)
