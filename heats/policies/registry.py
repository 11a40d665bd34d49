"""Policies by name: a short name, or `module:Class` for a policy of your own."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.registry import Registry
from heats.policies.base import AllocationPolicy, TaskState

POLICIES = Registry(
    "policy",
    {
        "fixed": "heats.policies.fixed:Fixed",
        "first-verified": "heats.policies.sequential:FirstVerified",
        "agreement": "heats.policies.agreement:Agreement",
        "give-up": "heats.policies.give_up:GiveUp",
        "target": "heats.policies.target:Target",
        "marginal": "heats.policies.marginal:Marginal",
        "cascade": "heats.policies.cascade:Cascade",
        "bandit": "heats.policies.bandit:Bandit",
        "two-pass": "heats.policies.two_pass:TwoPass",
        "conformal": "heats.policies.conformal:Conformal",
        "prune": "heats.policies.prune:Prune",
    },
)


def open_policy(name: str, options: Mapping[str, Any] | None = None, key: str = "policy.options") -> AllocationPolicy:
    """Construct the policy that `policy.name` names, with `policy.options`.

    Args:
        name: short name or `module:Class`.
        options: its settings.
        key: their configuration key, for messages.

    Raises:
        UnknownPart: there is no such name, module or class.
        InvalidOptions: the options do not match the policy's `Options`.
    """
    policy: AllocationPolicy = POLICIES.open(name, options=options or {}, key=key)
    return policy


def whole_heats(policy: AllocationPolicy, task: TaskState) -> bool:
    """Whether the policy plays every heat of this task in full."""
    whole = getattr(policy, "whole_heats", False)
    return bool(whole(task) if callable(whole) else whole)


def pauses(policy: AllocationPolicy) -> bool:
    """Whether the policy shares attempts among the tasks of a sweep, so that tasks wait for each other."""
    return bool(getattr(policy, "pauses", False))


def check_tasks(policy: AllocationPolicy, tasks: Sequence[TaskState]) -> None:
    """Let a policy that has a method `check` refuse the tasks of a run, before anything is spent.

    Raises:
        InvalidOptions: the policy's settings do not fit these tasks.
    """
    check = getattr(policy, "check", None)
    if check is not None:
        check(tasks)
