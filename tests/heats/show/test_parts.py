"""Parts of the report: distinct patches, cross-execution, token usage, steps."""

from collections.abc import Callable
from types import ModuleType

from hostile import HostileVoice

from agents.llm.ledger import Usage
from agents.trajectory import Observation, Step
from heats.report.cross_view import view_cross
from heats.report.patches import letter, read_patches
from heats.report.report import write_report
from heats.report.spending import spending, sum_work, work_by_heat
from heats.report.steps import steps_html
from heats.store.cross_store import CrossStore
from heats.store.reader import read_task
from heats.store.records import Charge, CrossRow, CrossTable
from heats.store.store import RunStore

MakeRun = Callable[..., RunStore]


def test_a_patch_that_several_made_is_told_once_and_the_selected_one_first(make_run: MakeRun) -> None:
    task = read_task(make_run(tasks=1, infra_share=0), "demo__task-000")
    found = list(read_patches("x", task, "pass", 10_000).values())
    assert found[0].selected == (task.selected is not None)
    assert [one.letter for one in found] == [letter(place) for place in range(len(found))]
    makers = [maker for one in found for maker in one.makers]
    assert sorted(makers) == [one.id for one in task.rollouts() if one.outcome.patch_bytes]
    assert any(row.pieces for row in found[0].diff.files[0].rows)


def test_colours_are_spent_on_the_first_patches(make_run: MakeRun) -> None:
    task = read_task(make_run(tasks=1), "demo__task-000")
    first = next(iter(read_patches("x", task, "pass", 0).values()))
    assert not any(row.pieces for file in first.diff.files for row in file.rows)
    assert [letter(place) for place in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]


def save_cross(run: RunStore, test: str) -> None:
    names = ("heat-0/rollout-00", "heat-0/rollout-01")
    row = {"author": names[0], "authors": names, "test": test, "base": "failed"}
    rows = (
        CrossRow(**row, outcomes=dict.fromkeys(names, "passed"), counts=False),
        CrossRow(**row, outcomes={names[0]: "passed", names[1]: "error"}, counts=True),
    )
    table = CrossTable(candidates=names, rows=rows, voices=names[:1], shares=dict(zip(names, (1.0, 0.0), strict=True)))
    CrossStore(run.task("demo__task-000").directory).save_table(0, table)


def test_tests_that_count_come_first_in_the_cross_execution_table(make_run: MakeRun) -> None:
    run = make_run(tasks=1)
    save_cross(run, "test_a")
    view = view_cross(read_task(run, "demo__task-000"), 0)
    assert [(line.counts, [cell.tone for cell in line.cells]) for line in view.lines] == [
        (True, ["no", "yes", "no"]),
        (False, ["no", "yes", "yes"]),
    ]
    assert [share for _, _, share in view.columns] == ["", "100.0 %", "0.0 %"]
    assert view_cross(read_task(run, "demo__task-000"), 1) is None


def test_the_cross_execution_table_is_in_the_report_escaped(make_run: MakeRun) -> None:
    run = make_run(tasks=1)
    save_cross(run, "test_<script>alert(1)</script>")
    html = write_report(run, run.directory / "report.html").read_text()
    assert "2 tests that rollouts wrote, 1 of them count" in html
    assert "test_&lt;script&gt;alert(1)" in html


def test_charges_are_told_by_what_they_were_for(make_run: MakeRun) -> None:
    run = make_run(tasks=2, chatty=True)
    work = sum_work(work_by_heat(read_task(run, task)) for task in ("demo__task-000", "demo__task-001"))
    rows = {row.name: row.usage for row in spending(run.charges(), {heat: one.usage for heat, one in enumerate(work)})}
    assert list(rows) == [f"heat {heat}: {what}" for heat in (0, 1) for what in ("agents", "summaries", "votes")]
    assert rows["heat 0: summaries"].calls == 16
    assert sum(usage.calls for usage in rows.values()) == len(run.charges())


def test_charges_that_fit_no_record_are_not_split() -> None:
    charges = [Charge(scope="t/heat-0/rollout-00", usage=Usage(calls=1)), Charge(scope="t", usage=Usage(calls=2))]
    rows = spending(charges, {0: Usage(calls=5)})
    assert [(row.name, row.usage.calls) for row in rows] == [("heat 0: agents", 1), ("other", 2)]


def test_steps_are_escaped_in_every_field(synthetic: ModuleType) -> None:
    voice = HostileVoice()
    plan = synthetic.Plan(voice=voice)
    steps = synthetic.make_steps(12, plan)
    odd = Observation(tool_call_id="x", content=voice("x"), status=voice("<b>"), exit_code=None)
    html = steps_html("a/<b>", [*steps, Step(id=99, source="agent", content="", observations=(odd,))], 2000)
    assert "<script" not in html.lower()
    assert "<img" not in html.lower()
    assert "<b>" not in html
    assert "&lt;script&gt;" in html
