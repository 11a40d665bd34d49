"""A task and its rollouts as terminal text. Foreign text is sanitised here and inserted as text, not markup."""

from collections.abc import Iterator, Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agents.trajectory import Observation, Step
from core.sanitize import excerpt, for_screen, one_line
from envs.base import Evidence, TestReport
from heats import formatting as say
from heats.report.cross_view import view_cross
from heats.report.diffs import DiffView, Row, colour_diff, diff_view
from heats.report.drawings import decided
from heats.report.judge_bias import judge_line
from heats.store.cross_store import CrossStore
from heats.store.reader import Basis, RolloutFacts, TaskFacts, statement
from heats.view.bracket_text import bracket_text
from summarizer.schema import Mark, Summary
from tournament.base import Match
from tournament.reasons import resolved, tally

MAX_PATCH, MAX_TEXT, MAX_TESTS = 60_000, 20_000, 40
VERDICT_STYLES = {
    "verified": "bold green",
    "solved": "bold green",
    "passes": "green",
    "unverified": "yellow",
    "not_solved": "yellow",
    "no_patch": "dim",
    "error": "red",
    "budget": "red",
    "running": "cyan",
}
_ROW_STYLES = {"add": "green", "del": "red", "hunk": "cyan", "note": "dim italic", "same": ""}
_SIGNS = {"add": "+", "del": "-", "same": " "}
_COLOURS = {
    "c": "dim italic",
    "s": "#94824f",
    "m": "#c08a3e",
    "k": "#a37acc",
    "f": "#5b8bd8",
    "b": "#3f9a9a",
    "d": "#a37acc",
}
_MARKS: Mapping[Mark, tuple[str, str]] = {
    "confirmed": ("  confirmed ", "green"),
    "contradicted": ("  contradicted ", "red"),
    "unconfirmed": ("  not confirmed ", "yellow"),
}
_FATES = {"confirmed": "green", "refuted": "red", "open": "yellow"}


def mark(passed: bool | None) -> tuple[str, str]:
    """A rollout's mark and its style: a disc for success, a ring for failure, a dot for unknown."""
    return {True: ("\u25cf", "green"), False: ("\u25cb", "red"), None: ("\u00b7", "dim")}[passed]


def verdict_pane(task: TaskFacts, basis: Basis) -> RenderableType:
    """How the task ended, the issue, and the tests before and after."""
    ended = task.result or task.failed
    status = task.ending(basis)
    head = Text(one_line(say.STATUS_WORDS.get(status, status), 40).capitalize(), style=VERDICT_STYLES.get(status, ""))
    if ended is not None and ended.detail:
        head.append(f"  {one_line(ended.detail, 400)}", style="default")
    parts: list[RenderableType] = [head]
    if task.selected is not None:
        chosen = task.find(task.selected)
        sign, style = mark(chosen.passed(basis) if chosen is not None else None)
        parts.append(Text.assemble("result: ", (sign, style), " ", one_line(task.selected, 60)))
    if task.baseline is not None:
        parts.append(Text(f"tests before: {say.tests(task.baseline)}", style="dim"))
    if ended is not None:
        parts.append(Text(say.spent(ended.usage), style="dim"))
    asked = statement(task.store, None)
    if asked:
        parts += [_title("What was asked"), Text(excerpt(asked, MAX_TEXT))]
    return Group(*parts)


def bracket_pane(task: TaskFacts, heat: int, basis: Basis) -> RenderableType:
    """A heat's bracket, then every match with its votes and their reasons, then the cross-execution table.

    Args:
        task: the task's records.
        heat: number of the heat.
        basis: the definition of success used.
    """
    bracket = task.brackets[heat]
    if bracket is None:
        return Text("the tournament of this heat is still in progress", style="dim")

    def sign(rollout: str) -> tuple[str, str]:
        found = task.find(rollout)
        return mark(found.passed(basis) if found is not None and not found.infrastructure_failed else None)

    parts: list[RenderableType] = [bracket_text(bracket, sign)]
    for one, others in bracket.merged.items():
        if others:
            names = ", ".join(say.short(other) for other in others)
            parts.append(Text(f"{one_line(names, 200)} make the same change as {say.short(one)}", style="dim"))
    if CrossStore(task.store.directory).table(heat) is not None:
        parts += _cross(task, heat)
    parts.append(_title("Votes"))
    if told := judge_line(bracket):
        parts.append(Text(told, style="dim"))
    for match in (match for played in bracket.rounds for match in played):
        parts += _match(match)
    return Group(*parts)


def _cross(task: TaskFacts, heat: int) -> Iterator[RenderableType]:
    view = view_cross(task, heat)
    if view is None:
        return
    yield _title(f"Executed tests: {view.heading}")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for name in ("test", "by", *(name for _, name, _ in view.columns)):
        table.add_column(one_line(name, 20), overflow="ellipsis", no_wrap=True)
    styles = {"yes": "green", "no": "red", "none": "dim"}
    for line in view.lines:
        cells = (Text(cell.mark, style=styles[cell.tone]) for cell in line.cells)
        test = Text(line.test, style="" if line.counts else "dim")
        table.add_row(test, Text(say.short(line.author) if line.author else "project", style="dim"), *cells)
    yield table
    for reason in view.left_out:
        yield Text(f"left out: {one_line(reason, 200)}", style="dim")


def _match(match: Match) -> Iterator[Text]:
    line = Text(f"{one_line(match.id, 12):<7}", style="dim")
    for place, one in enumerate(match.contestants):
        line.append(" : " if place else "", style="dim")
        line.append(one_line(say.short(one), 30), style="bold" if one == match.winner else "dim")
        line.append(f" {say.votes(tally(match)[one])}" if match.votes else "", style="cyan")
    yield line.append(f"  {decided(match)}", style="dim")
    for vote in match.votes:
        who = one_line(say.short(vote.choice), 30) if vote.choice else "abstained"
        style = "green" if vote.choice == match.winner else "dim"
        flips = "(a different choice with comments shown) " if vote.presentation_sensitive else ""
        yield Text.assemble(
            ("        ", ""), (f"{who:<6}", style), " ", (flips, "yellow"), one_line(resolved(vote, say.short), 600)
        )


def summary_pane(one: RolloutFacts, summary: Summary | None, basis: Basis) -> RenderableType:
    """A rollout's end, evidence, grade and summary.

    Args:
        one: the rollout's records.
        summary: its summary, if there is one.
        basis: the definition of success used.
    """
    sign, style = mark(None if one.infrastructure_failed else one.passed(basis))
    head = Text.assemble((sign, style), " ", (one_line(one.id, 60), "bold"))
    outcome = one.outcome
    if outcome is None:
        return Group(head, Text("not finished", style="cyan"))
    ended = f"{say.ending(outcome.exit)} after {say.several(outcome.steps, 'step')}, {say.duration(outcome.duration_s)}"
    parts: list[RenderableType] = [head, Text(ended)]
    parts.append(Text(f"{say.spent(outcome.usage)} \u00b7 {one_line(outcome.model, 80)}", style="dim"))
    parts += [Text(one_line(text, 600), style="red") for text in (outcome.error, *outcome.remarks) if text]
    if one.evidence is not None:
        parts.append(Text(f"evidence: {one_line(one.evidence.reason, 400)}"))
    if one.grade is not None:
        parts.append(Text(f"grade: {one.grade.outcome} {one_line(one.grade.reason, 400)}"))
    if summary is not None:
        parts += _summary(summary)
    return Group(*parts)


def _summary(told: Summary) -> Iterator[RenderableType]:
    yield _title("Summary" if told.source == "model" else "Summary, built from recorded facts only")
    yield Text(for_screen(told.problem))
    if told.hypotheses:
        yield _title("Hypotheses")
        for guess in told.hypotheses:
            yield Text.assemble((f"  {guess.fate} ", _FATES.get(guess.fate, "")), for_screen(guess.text))
    yield from _points("Decisions", told.decisions)
    yield from _points("Progress", (told.progress,))
    if told.evidence:
        yield _title("Claims")
    for claim in told.evidence:
        mark = _MARKS[claim.mark]
        text = f"step {claim.step_id}: {one_line(claim.command, 200)} {claim.outcome}: {one_line(claim.finding, 400)}"
        yield Text.assemble(mark, text, (f" ({one_line(claim.note, 200)})" if claim.note else "", "dim"))
    yield from _points("End state", (told.end_state,))
    yield from _points("Doubts", told.doubts)


def _points(title: str, points: tuple[str, ...]) -> Iterator[Text]:
    said = [for_screen(point) for point in points if point]
    if said:
        yield _title(title)
        yield from (Text(f"  {point}") for point in said)


def patch_pane(data: bytes) -> RenderableType:
    """A patch, coloured."""
    if not data:
        return Text("no patch", style="dim")
    view = diff_view(data, MAX_PATCH)
    colour_diff(view)
    return diff_text(view)


def diff_text(view: DiffView) -> Text:
    """A diff in one column."""
    text = Text()
    for file in view.files:
        status = f"  {file.status}" if file.status else ""
        text.append(f"{file.name}  +{file.added} -{file.removed}{status}\n", style="bold")
        for row in file.rows:
            text.append_text(_row(row))
    if view.cut:
        text.append(f"{say.size(view.cut)} more in patch.diff\n", style="dim")
    return text


def _row(row: Row) -> Text:
    line = Text(_SIGNS.get(row.kind, ""), style=_ROW_STYLES[row.kind])
    coloured = row.pieces if row.kind == "same" else None  # changes are clearest in a single colour
    for kind, part in coloured or (("", row.text),):
        line.append(part, style=_COLOURS.get(kind, ""))
    return line.append("\n")


def evidence_pane(evidence: Evidence | None) -> RenderableType:
    """Tests before and after, and what changed."""
    if evidence is None:
        return Text("nothing was executed for this rollout", style="dim")
    style = VERDICT_STYLES.get(evidence.verdict, "")
    head = Text.assemble((say.STATUS_WORDS[evidence.verdict], style), "  ", one_line(evidence.reason, 400))
    parts: list[RenderableType] = [head, _report("before", evidence.before), _report("after", evidence.after)]
    groups = (
        ("fixed", "green", evidence.fixed),
        ("broken", "red", evidence.broken),
        ("still failing", "yellow", evidence.still_failing),
        ("protected files restored", "yellow", evidence.restored),
    )
    for name, style, tests in groups:
        if tests:
            parts.append(_title(f"{len(tests)} {name}"))
            parts += [Text(f"  {one_line(test, 300)}", style=style) for test in tests[:MAX_TESTS]]
    if evidence.after is not None and evidence.after.output:
        parts += [_title("What the tests printed"), Text(excerpt(evidence.after.output, MAX_TEXT), style="dim")]
    return Group(*parts)


def _report(name: str, report: TestReport | None) -> Text:
    command = f"  {one_line(report.command, 200)}" if report is not None else ""
    return Text.assemble((f"{name:<7}", "dim"), say.tests(report), (command, "dim"))


def step_pane(step: Step) -> RenderableType:
    """One step of a trajectory in full."""
    parts: list[RenderableType] = []
    if step.reasoning:
        parts.append(Text(excerpt(step.reasoning, MAX_TEXT), style="italic dim"))
    if step.content:
        parts.append(Text(excerpt(step.content, MAX_TEXT)))
    for call in step.tool_calls:
        parts.append(Text.assemble(("$ ", "bold green"), excerpt(say.command(call.arguments), MAX_TEXT)))
    for shown in step.observations:
        parts += _observation(shown)
    return Group(*parts)


def _observation(shown: Observation) -> Iterator[Text]:
    code = f"exit code {shown.exit_code}" if shown.exit_code is not None else shown.status.replace("_", " ")
    yield Text(f"\n{code}  {say.duration(shown.duration_s)}", style="green" if shown.exit_code == 0 else "red")
    yield Text(excerpt(shown.content, MAX_TEXT))


def _title(text: str) -> Text:
    return Text(f"\n{text}", style="bold")
