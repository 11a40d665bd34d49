"""How an attempt looks before it has ended."""

from agents.trajectory import Trajectory


def half_way(trajectory: Trajectory, steps: int) -> float:
    """Share of an attempt's own first steps whose last command succeeded; steps without a command count as failures.

    Args:
        trajectory: the attempt so far.
        steps: number of model turns to look at.
    """
    seen = [step for step in trajectory.steps if step.source == "agent" and not step.copied][:steps]
    good = sum(bool(step.observations) and step.observations[-1].exit_code == 0 for step in seen)
    return good / len(seen) if seen else 0.0
