"""What a sweep came to, for people: counts by ending, then the figures."""

from collections import Counter
from collections.abc import Sequence

from heats import formatting as say
from heats.report.figures import Figures
from heats.report.table import figures_text
from heats.store.records import TaskResult

SHOWN_FAILURES = 10
_CAUSES = {"task": "cannot be attempted", "infrastructure": "infrastructure failed", "internal": "internal error"}


def sweep_text(figures: Figures, results: Sequence[TaskResult], limit: int) -> str:
    """A table of at most `limit` tasks, pass@k by heat, what failed and why."""
    lines = [figures_text(figures, limit).rstrip("\n"), *_curves(figures)]
    totals = figures.totals
    if totals.final is not None:
        stages = [f"pass@1 heat {heat}: {say.percent(share)}" for heat, share in enumerate(totals.pass_at_1)]
        stages += [f"oracle: {say.percent(totals.pass_at_n[-1])}", f"random: {say.percent(totals.random_pick)}"]
        lines.append(f"final choice: {say.percent(totals.final)} ({', '.join(stages)})")
    lines.append(f"tasks: {counts_text(results)}")
    by_lot = sum(result.by_lot for result in results)
    lines += [f"  {by_lot} of them chosen by lot: no vote on them could be read"] if by_lot else []
    failed = [result for result in results if result.status in ("error", "budget")]
    lines += [f"  {result.task}: {result.detail}" for result in failed[:SHOWN_FAILURES]]
    if len(failed) > SHOWN_FAILURES:
        lines.append(f"  and {len(failed) - SHOWN_FAILURES} more")
    lines += _next_steps(figures, results)
    return "\n".join(lines) + "\n"


def _next_steps(figures: Figures, results: Sequence[TaskResult]) -> list[str]:
    """What the same command would do about what is missing."""
    statuses = {result.status for result in results}
    lines = []
    if figures.invalid_grades:
        lines.append(f"{say.several(figures.invalid_grades, 'grade')} missing: infrastructure failed, see grades/")
    if "error" in statuses or figures.invalid_grades:
        lines.append("the same command tries these again; nothing else is done twice")
    if "budget" in statuses:
        lines.append("with a higher limit the same command goes on with what a limit ended")
    return lines


def counts(results: Sequence[TaskResult]) -> dict[str, int]:
    """Tasks by ending; an error by its cause."""
    return dict(sorted(Counter(_ending(result) for result in results).items()))


def counts_text(results: Sequence[TaskResult]) -> str:
    """`12 verified, 3 not verified, 1 infrastructure failed`."""
    return ", ".join(f"{number} {ending}" for ending, number in counts(results).items())


def _ending(result: TaskResult) -> str:
    if result.status == "error" and result.cause is not None:
        return _CAUSES[result.cause]
    return say.STATUS_WORDS.get(result.status, result.status)


def _curves(figures: Figures) -> list[str]:
    """pass@k of each heat for a few k, by the unbiased estimator."""
    lines = []
    for heat in range(figures.totals.heats):
        curve = figures.curve(heat)
        shown = [k for k in (1, 2, 4, 8, 16, 32, 64) if k < len(curve)] + ([len(curve)] if curve else [])
        if shown:
            told = "  ".join(f"{k}: {say.percent(curve[k - 1])}" for k in shown)
            lines.append(f"pass@k heat {heat}  {told}")
    return lines
