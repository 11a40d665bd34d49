"""Reproduce the paper's setting in the simulator, with its figures beside ours.

Source of all figures: arXiv:2604.16529. Inputs are the first heat's pass rate, the judge's accuracy on mixed groups,
the success of refined rollouts by number of passing summaries in the context, and how polarised the tasks are. For the
latter, the paper gives three counts for Opus on SWE-bench Verified: 73 of 500 tasks are solved by no rollout of the
first heat, 94 by none of the refined heat, and 141 more than before by all 16. They determine three parameters: the
share of tasks that are never solved afresh, the concentration of the others, and that of refined rollouts. Gemini's row
reuses them. For Terminal-Bench no such counts are known. A plain beta distribution is used there, as concentrated as
Opus's 73 would make it, because it agrees with the paper's Sel-K, which is therefore not a prediction in those rows.
Everything else in the table is simulated.
"""

from dataclasses import dataclass

from heats.planning.calibration import concentration_for
from heats.planning.simulate import Forecast, Method, Simulation, World

OPUS_REFINED = (0.001, 0.334, 0.555, 0.854, 0.992)
GEMINI_REFINED = (0.006, 0.369, 0.384, 0.870, 0.998)
Range = tuple[tuple[float, float], tuple[float, float]]
SWE_BENCH: Range = ((0.61, 0.48), (0.67, 0.62))
TERMINAL_BENCH: Range = ((0.78, 0.76), (0.82, 0.78))
"""The judge's accuracy in the first and the refined heat: the range that the paper gives for all models together."""
_OPUS, _TASKS, _UNSOLVED, _UNSOLVED_REFINED, _MORE_UNANIMOUS = 0.7094, 500, 73, 94, 141
_UNSOLVABLE = 0.136
"""Share of tasks that Opus never solves afresh; with it and a refined concentration of 0.7, 94 and 141 result."""


def usual_unsolvable(mean: float) -> float:
    """Share of tasks never solved afresh: the same fraction of all failures as for Opus on SWE-bench Verified."""
    return (1 - mean) * _UNSOLVABLE / (1 - _OPUS)


def usual_concentration() -> float:
    """Concentration of the pass rates of the tasks that Opus can solve on SWE-bench Verified."""
    solvable = 1 - _UNSOLVABLE
    return concentration_for(_OPUS / solvable, (_UNSOLVED / _TASKS - _UNSOLVABLE) / solvable)


@dataclass(frozen=True, slots=True)
class Reported:
    """The paper's figures for one model on one benchmark, in per cent, and the inputs of its simulation."""

    model: str
    benchmark: str
    first_heat: float
    selected: float
    second_heat: float
    final: float
    accuracy: Range
    refined: tuple[float, ...]

    def world(self, place: float = 0.5) -> World:
        """The simulator's inputs.

        Args:
            place: position of the judge's accuracy within the paper's range, from 0 to 1.
        """
        low, high = self.accuracy
        counted, mean = self.accuracy is SWE_BENCH, self.first_heat / 100
        return World(
            mean=mean,
            concentration=usual_concentration() if counted else concentration_for(_OPUS, _UNSOLVED / _TASKS),
            accuracy=(low[0] + place * (high[0] - low[0]), low[1] + place * (high[1] - low[1])),
            refined=self.refined,
            unsolvable=usual_unsolvable(mean) if counted else 0.0,
        )


REPORTED = (
    Reported("Claude 4.5 Opus", "SWE-bench Verified", 70.94, 75.00, 76.04, 77.60, SWE_BENCH, OPUS_REFINED),
    Reported("Gemini 3.1 Pro", "SWE-bench Verified", 72.25, 75.30, 76.16, 76.60, SWE_BENCH, GEMINI_REFINED),
    Reported("Claude 4.5 Opus", "Terminal-Bench 2.0", 46.95, 54.26, 52.49, 59.09, TERMINAL_BENCH, OPUS_REFINED),
    Reported("Gemini 3.1 Pro", "Terminal-Bench 2.0", 52.49, 59.66, 56.89, 64.77, TERMINAL_BENCH, GEMINI_REFINED),
)


def reproduce_paper(tasks: int = 3000, seed: int = 0) -> str:
    """A Markdown table of the paper's and the simulated figures, in per cent, with the polarisation figures below.

    Args:
        tasks: tasks simulated per row and accuracy.
        seed: seed of the simulation.
    """
    lines = [
        "| model, benchmark | Iter 0 | Sel-K paper | simulated | Iter 1 paper | simulated | Final paper | simulated "
        "| low - high | RTV alone |",
        "|" + " --- |" * 10,
    ]
    middles = []
    for row in REPORTED:
        low, middle, high = (Simulation(Method(), row.world(place), seed).run(tasks) for place in (0.0, 0.5, 1.0))
        middles.append(middle)
        lines.append(_line(row, low, middle, high))
    return "\n".join([*lines, "", *_polarisation(middles[0])])


def _line(row: Reported, low: Forecast, middle: Forecast, high: Forecast) -> str:
    pairs = (
        (row.selected, middle.selected[0]),
        (row.second_heat, middle.heats[1]),
        (row.final, middle.final),
    )
    cells = " | ".join(f"{paper:.2f} | {100 * ours:.2f}" for paper, ours in pairs)
    name = f"{row.model}, {row.benchmark}"
    ends = f"{100 * low.final:.1f} - {100 * high.final:.1f}"
    return f"| {name} | {row.first_heat:.2f} | {cells} | {ends} | {100 * middle.first:.2f} |"


def _polarisation(opus: Forecast) -> list[str]:
    unsolved = [_TASKS * (1 - share) for share in opus.oracle]
    more = _TASKS * (opus.unanimous[1] - opus.unanimous[0])
    return [
        f"{REPORTED[0].model}, {REPORTED[0].benchmark}, of {_TASKS} tasks (paper, simulated; inputs):",
        f"- without a passing rollout in heat 0: {_UNSOLVED}, {unsolved[0]:.0f}",
        f"- without a passing rollout in heat 1: {_UNSOLVED_REFINED}, {unsolved[1]:.0f}",
        f"- more with all 16 passing in heat 1 than in heat 0: {_MORE_UNANIMOUS}, {more:.0f}",
    ]
