"""Attempts played in slices: how many turns the rollouts of each heat have."""

from agents.base import Slice
from core.errors import InvalidOptions
from heats.config import HeatsConfig
from heats.context_rules import Rule


def slice_of(rule: Rule, heat: int, config: HeatsConfig) -> Slice | None:
    """The part of an attempt that a rollout of a heat plays; None if the rule has attempts played in one piece.

    All parts of a path together have `agent.step_limit` turns; the last heat's is what the others leave.

    Args:
        rule: the context rule.
        heat: number of the heat.
        config: the run's configuration.

    Raises:
        InvalidOptions: the others leave nothing.
    """
    turns: int = getattr(rule, "slice_turns", 0)
    if not turns:
        return None
    limit, before_last = config.agent.step_limit, config.iterations - 1
    if before_last * turns >= limit:
        raise InvalidOptions(
            f"{before_last} slices of {turns} turns leave nothing of agent.step_limit={limit} for the last heat: "
            f"lower refine.options.turns or iterations, or raise agent.step_limit"
        )
    later = limit - (heat + 1) * turns
    return Slice(turns, later) if heat < before_last else Slice(turns + later)
