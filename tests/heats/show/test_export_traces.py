"""Traces for other tools' readers: what a rollout is in them, and that their own models read it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.llm.base import ToolCall
from agents.trajectory import Step
from heats.export.traces import export_docent, export_verifiers
from heats.store.reader import read_task, task_ids
from heats.store.store import RunStore

MakeRun = Callable[..., RunStore]


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def finished(run: RunStore) -> dict[tuple[str, str], Any]:
    found = ((task, one) for task in task_ids(run) for one in read_task(run, task).rollouts())
    return {(task, one.id): one for task, one in found if one.outcome and not one.infrastructure_failed}


def test_every_rollout_is_one_agent_run_of_docent(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tasks=2)
    (path,) = export_docent(run, tmp_path)
    rows, expected = rows_of(path), finished(run)
    assert {(row["metadata"]["task"], row["metadata"]["rollout"]) for row in rows} == set(expected)
    for row in rows:
        grade = expected[row["metadata"]["task"], row["metadata"]["rollout"]].grade
        assert row["metadata"]["scores"] == {"passed": float(grade.outcome == "pass")}
        (transcript,) = row["transcripts"]
        assert {message["role"] for message in transcript["messages"]} >= {"user", "assistant", "tool"}
    assert len({row["id"] for row in rows}) == len(rows)
    assert path.read_bytes() == export_docent(run, tmp_path / "again")[0].read_bytes()


def test_every_rollout_is_one_episode_of_verifiers(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tasks=2)
    (path,) = export_verifiers(run, tmp_path)
    rows = rows_of(path)
    assert len(rows) == len(finished(run))
    for row in rows:
        (trace,) = row["traces"]
        facts = finished(run)[trace["info"]["task"], trace["info"]["rollout"]]
        assert trace["rewards"] == {"passed": {"score": float(facts.grade.outcome == "pass")}}
        assert [node["parent"] for node in trace["nodes"]] == [None, *range(len(trace["nodes"]) - 1)]
        sampled = [at for at, node in enumerate(trace["nodes"]) if node["sampled"]]
        assert [call["node"] for call in trace["calls"]] == sampled
        assert all(trace["nodes"][at]["message"]["role"] == "assistant" for at in sampled)


def test_arguments_that_are_no_object_are_kept_as_text(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tasks=1)
    task = task_ids(run)[0]
    files = run.task(task).rollout(next(iter(finished(run)))[1])
    trajectory = files.trajectory()
    odd = [ToolCall(id="a", name="bash", arguments="{no JSON"), ToolCall(id="b", name="bash", arguments="[1]")]
    step = Step(id=len(trajectory.steps) + 1, source="agent", content="", tool_calls=tuple(odd))
    files.save_trajectory(trajectory.model_copy(update={"steps": (*trajectory.steps, step)}))
    first = rows_of(export_docent(run, tmp_path)[0])[0]
    broken, listed = first["transcripts"][0]["messages"][-1]["tool_calls"]
    assert (broken["arguments"], listed["arguments"]) == ({"text": "{no JSON"}, {"value": [1]})
    assert "parse_error" in broken
    assert "parse_error" not in listed


DOCENT = """import sys
from docent.data_models.agent_run import AgentRun
for line in open(sys.argv[1]):
    run = AgentRun.model_validate_json(line)
    print(len(run.transcripts[0].messages), run.metadata["rollout"])
"""


@pytest.mark.tool("docent")
def test_docents_own_models_read_every_run(make_run: MakeRun, tmp_path: Path, tool_env: Callable[[str], Path]) -> None:
    run = make_run(tasks=2)
    (path,) = export_docent(run, tmp_path)
    python = tool_env("docent") / "bin" / "python"
    done = subprocess.run([python, "-c", DOCENT, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    messages = [f"{len(row['transcripts'][0]['messages'])} {row['metadata']['rollout']}" for row in rows_of(path)]
    assert done.stdout.splitlines() == messages
