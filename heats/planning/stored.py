"""Stored runs as a source of attempts for `spending.py`: their attempts, evidence and grades."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heats.config import load_config
from heats.errors import UsageError
from heats.planning.spending import Chosen, Drawn
from heats.policies.base import Arm, Attempt, TaskState
from heats.runner.candidates import key_of
from heats.store.reader import (
    RolloutFacts,
    TaskFacts,
    find_basis,
    played_in_slices,
    read_task,
    stopping_policy,
    task_ids,
)
from heats.store.store import RunStore


@dataclass(frozen=True, slots=True)
class Stored:
    """A finished task of a stored run as a source of attempts; its tournaments choose at random within a class."""

    attempts: Mapping[tuple[int, int], Drawn]
    seed: str

    def attempt(self, heat: int, index: int, arm: int | None, context: Sequence[Drawn]) -> Drawn | None:
        """See `Source.attempt`."""
        return self.attempts.get((heat, index))

    def choose(self, heat: int, field: Sequence[Drawn], k: int) -> Chosen:
        """See `Source.choose`: by evidence, then at random."""
        draw = random.Random(f"{self.seed}/{heat}")
        order = sorted(field, key=lambda one: (-(one.attempt.rank or 0), draw.random()))
        return Chosen(tuple(order[:k]))


def stored_tasks(directory: Path) -> Iterator[tuple[TaskState, Stored]]:
    """The finished tasks of a graded run that played every heat in full.

    Raises:
        UsageError: it is no run, its rollouts were not graded by hidden tests, it may have ended tasks
            early, or its attempts were played in slices.
    """
    run = RunStore(directory)
    config: Mapping[str, Any] = run.manifest.identity.get("config", {})
    if find_basis(run) != "pass":
        raise UsageError(f"{directory}: its rollouts were not graded by hidden tests, so nobody knows which are right")
    if stopping_policy(run) or config["refine"]["stop_when_verified"]:
        raise UsageError(f"{directory}: it may have ended tasks early; use runs with -c policy.name=fixed")
    facts_of = {name: read_task(run, name) for name in task_ids(run)}
    if played_in_slices(facts_of.values()):
        raise UsageError(f"{directory}: its attempts were played in slices; use runs with another refine.context")
    models = [one["name"] for one in config["models"]] or [config["model"]["name"]]
    for name, facts in facts_of.items():
        if facts.result is not None and len(facts.heats) == config["iterations"]:
            attempts = dict(_attempts(facts, config["tournament"]["merge"]))
            state = TaskState(
                task=name,
                rollouts=config["rollouts"],
                heats=config["iterations"],
                verifiable=any(one.evidence is not None for one in facts.rollouts()),
                arms=tuple(Arm(model=one) for one in models),
            )
            yield state, Stored(attempts, f"{directory.name}/{name}")


def _attempts(facts: TaskFacts, merge: str) -> Iterator[tuple[tuple[int, int], Drawn]]:
    config, keys = load_config((), {"tournament.merge": merge}), dict[str, str]()
    for heat, rollouts in enumerate(facts.heats):
        for index, one in enumerate(rollouts):
            files = facts.store.rollout(one.id)
            if one.outcome is None or one.outcome.exit is None or one.infrastructure_failed:
                continue
            patch, trajectory = files.patch(), files.trajectory() if heat else None
            keys[one.id] = key_of(patch, config) if patch else ""
            shown = [keys.get(parent) for parent in trajectory.parents] if trajectory else []
            attempt = _attempt(one, heat, keys[one.id], derived=keys[one.id] in shown)
            yield (heat, index), Drawn(attempt, bool(one.passed("pass")))


def _attempt(one: RolloutFacts, heat: int, patch: str, *, derived: bool) -> Attempt:
    outcome, evidence = one.outcome, one.evidence
    if outcome is None:
        raise ValueError(f"{one.id} has not ended")
    return Attempt(
        rollout=one.id,
        heat=heat,
        state="ended",
        exit=outcome.exit or "",
        patch=patch,
        derived=derived,
        rank=evidence.rank if evidence else None,
        verdict=evidence.verdict if evidence else "",
        steps=outcome.steps,
        tokens=outcome.usage.tokens,
        cost_usd=outcome.usage.cost_usd,
        seconds=outcome.duration_s,
    )
