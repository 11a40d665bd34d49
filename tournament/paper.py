"""The paper's setting in the simulator, its figures beside ours.

Source of all figures: arXiv:2604.16529. Taken as inputs: the first heat's pass rate, the judge's accuracy on mixed
groups, the success of refined rollouts by passing summaries in the context, and of Opus on SWE-bench Verified the 73
of 500 tasks that no rollout solved, which fixes how polarised tasks are. Everything else in the table is simulated.
"""

from dataclasses import dataclass

from tournament.simulate import Forecast, Method, Simulation, World, concentration_for

_OPUS_UNSOLVED = 73 / 500
_OPUS_REFINED = (0.001, 0.334, 0.555, 0.854, 0.992)
_GEMINI_REFINED = (0.006, 0.369, 0.384, 0.870, 0.998)


@dataclass(frozen=True, slots=True)
class Reported:
    """What the paper reports for one model on one benchmark, in per cent, and the inputs of its simulation."""

    model: str
    benchmark: str
    first_heat: float
    selected: float
    second_heat: float
    final: float
    accuracy: tuple[float, float]
    refined: tuple[float, ...]

    def world(self) -> World:
        """The simulator's inputs; tasks are as polarised as those of Opus on SWE-bench Verified."""
        return World(
            mean=self.first_heat / 100,
            concentration=concentration_for(0.7094, _OPUS_UNSOLVED),
            accuracy=self.accuracy,
            refined=self.refined,
        )


REPORTED = (
    Reported("Claude 4.5 Opus", "SWE-bench Verified", 70.94, 75.00, 76.04, 77.60, (0.64, 0.55), _OPUS_REFINED),
    Reported("Gemini 3.1 Pro", "SWE-bench Verified", 72.25, 75.30, 76.16, 76.60, (0.64, 0.55), _GEMINI_REFINED),
    Reported("Claude 4.5 Opus", "Terminal-Bench 2.0", 46.95, 54.26, 52.49, 59.09, (0.80, 0.77), _OPUS_REFINED),
    Reported("Gemini 3.1 Pro", "Terminal-Bench 2.0", 52.49, 59.66, 56.89, 64.77, (0.80, 0.77), _GEMINI_REFINED),
)
"""Accuracies are the middle of the ranges that the paper gives for all its models together."""


def reproduce_paper(tasks: int = 5000, seed: int = 0) -> str:
    """A Markdown table of the paper's figures and the simulation's, in per cent.

    Args:
        tasks: simulated per row.
    """
    lines = [
        "| model, benchmark | Iter 0 | Sel-K paper | simulated | Iter 1 paper | simulated | Final paper | simulated "
        "| RTV alone |",
        "|" + " --- |" * 9,
    ]
    for row in REPORTED:
        forecast = Simulation(Method(), row.world(), seed).run(tasks)
        lines.append(_line(row, forecast))
    return "\n".join(lines)


def _line(row: Reported, forecast: Forecast) -> str:
    pairs = (
        (row.selected, forecast.selected[0]),
        (row.second_heat, forecast.heats[1]),
        (row.final, forecast.final),
    )
    cells = " | ".join(f"{paper:.2f} | {100 * ours:.2f}" for paper, ours in pairs)
    name = f"{row.model}, {row.benchmark}"
    return f"| {name} | {row.first_heat:.2f} | {cells} | {100 * forecast.first:.2f} |"
