"""A sweep's results as text: counts by ending, then the figures."""

from collections import Counter
from collections.abc import Mapping, Sequence

from core.sanitize import one_line
from heats import formatting as say
from heats.report.figures import Figures
from heats.report.table import figures_text
from heats.store.records import TaskResult

SHOWN_FAILURES = 10
_GRADED = ("solved", "not_solved")
_CAUSES = {"task": "cannot be attempted", "infrastructure": "infrastructure failed", "internal": "internal error"}


def sweep_text(
    figures: Figures, results: Sequence[TaskResult], limit: int, left_out: Mapping[str, str] | None = None
) -> str:
    """A table of tasks, pass@k by heat, what failed and why, and what was left out and why.

    Args:
        figures: the run's figures.
        results: results of the tasks.
        limit: maximum number of task rows.
        left_out: reasons for tasks that could not be used.
    """
    lines = [figures_text(figures, limit).rstrip("\n"), *_curves(figures)]
    totals = figures.totals
    if totals.final is not None:
        stages = [f"pass@1 heat {heat}: {say.percent(share)}" for heat, share in enumerate(totals.pass_at_1)]
        stages += [f"oracle: {say.percent(totals.pass_at_n[-1])}", f"random: {say.percent(totals.random_pick)}"]
        lines.append(f"final choice: {say.percent(totals.final)} ({', '.join(stages)})")
    lines.append(f"tasks: {counts_text(results, figures)}")
    by_chance = sum(result.by_chance for result in results)
    lines += [f"  {by_chance} of them chosen at random, because no vote on them could be read"] if by_chance else []
    failed = [result for result in results if result.status in ("error", "budget")]
    lines += [f"  {one_line(result.task, 80)}: {one_line(result.detail, 600)}" for result in failed[:SHOWN_FAILURES]]
    if len(failed) > SHOWN_FAILURES:
        lines.append(f"  and {len(failed) - SHOWN_FAILURES} more")
    lines += left_out_lines(left_out or {}, "task")
    lines += _next_steps(figures, results)
    return "\n".join(lines) + "\n"


def left_out_lines(left_out: Mapping[str, str], noun: str) -> list[str]:
    """What could not be used and why: a heading, then one line each, up to a readable number."""
    if not left_out:
        return []
    lines = [f"left out: {say.several(len(left_out), noun)} that cannot be used"]
    lines += [f"  {one_line(name, 80)}: {one_line(why, 300)}" for name, why in list(left_out.items())[:SHOWN_FAILURES]]
    more = len(left_out) - SHOWN_FAILURES
    return [*lines, f"  and {more} more"] if more > 0 else lines


def _next_steps(figures: Figures, results: Sequence[TaskResult]) -> list[str]:
    """What rerunning the same command would do about missing results."""
    statuses = {result.status for result in results}
    lines = []
    if figures.invalid_grades:
        lines.append(f"{say.several(figures.invalid_grades, 'grade')} missing: infrastructure failed, see grades/")
    if "error" in statuses or figures.invalid_grades:
        lines.append("run the same command to retry these; finished work is not repeated")
    if "budget" in statuses:
        lines.append("raise the limit and run the same command to continue what it stopped")
    return lines


def counts(results: Sequence[TaskResult]) -> dict[str, int]:
    """Number of tasks by ending; errors by their cause."""
    return dict(sorted(Counter(_ending(result) for result in results).items()))


def counts_text(results: Sequence[TaskResult], figures: Figures) -> str:
    """`12 solved, 3 not solved, 1 infrastructure failed`; `verified` if nothing was graded."""
    graded = {task.task: say.STATUS_WORDS[task.ending] for task in figures.tasks if task.ending in _GRADED}
    found = Counter(graded.get(result.task) or _ending(result) for result in results)
    return ", ".join(f"{number} {ending}" for ending, number in sorted(found.items()))


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
