"""Policies by name: a short name, or `module:Class` for a policy of your own."""

from collections.abc import Mapping
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
    },
)


def open_policy(name: str, options: Mapping[str, Any] | None = None) -> AllocationPolicy:
    """Construct the policy that `policy.name` names, with `policy.options`.

    Raises:
        UnknownPart: there is no such name, module or class.
        InvalidOptions: the options do not match the policy's `Options`.
    """
    policy: AllocationPolicy = POLICIES.open(name, options=options or {}, key="policy.options")
    return policy


def whole_heats(policy: AllocationPolicy, task: TaskState) -> bool:
    """Whether the policy plays every heat of this task in full."""
    told = getattr(policy, "whole_heats", False)
    return bool(told(task) if callable(told) else told)


def pauses(policy: AllocationPolicy) -> bool:
    """Whether the policy shares attempts among the tasks of a sweep, so that tasks wait for each other."""
    return bool(getattr(policy, "pauses", False))
