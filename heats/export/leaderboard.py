"""Export a sweep as a submission to the SWE-bench leaderboard: predictions, reasoning traces and metadata.

Source: the repository SWE-bench/experiments, `checklist.md` and `README.md`, 2025-07. Its `logs/` come from the
official evaluation of `all_preds.jsonl`, so they are not written here.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from agents.atif import to_atif
from core.sanitize import one_line
from heats.errors import UsageError
from heats.export.predictions import final_predictions
from heats.store.files import slug, write_bytes
from heats.store.reader import TaskFacts, find_basis, read_events, read_task, task_ids
from heats.store.store import RunStore

_README = """# {name}

heats runs several attempts at each instance in parallel sandboxes, compares them in a tournament, and submits one patch
per instance.

- Model: {model}
- Agent: {agent}
- Attempts: at most {rollouts} in each of {iterations} heats (policy {policy}); {select_k} kept for the next heat
- Selector: {selector}
- Network of the sandboxes: {network}
- Instances in this submission: {tasks}{solved}

## Checklist

- [x] Best@k: one prediction per instance, chosen by the system itself (`system.attempts` in `metadata.yaml`)
- [x] Does not use `PASS_TO_PASS` or `FAIL_TO_PASS`: heats keeps grades where selection cannot read them
- [ ] Does not use the hints field: confirm that the sweep ran without `hints`
- {web} Has no web access: the sandboxes had {network_words}

## Before you submit

1. Complete `metadata.yaml`: site, report, authors, org, and whether the model is open.
2. Run the official evaluation on `all_preds.jsonl` and put its logs of each instance in `logs/`.
3. Describe the system, and add the output of the repository's `analysis.get_results`.
"""


def export_leaderboard(run: RunStore, directory: Path) -> list[Path]:
    """Write `leaderboard/<date>_heats_<model>/` with `all_preds.jsonl`, `metadata.yaml`, `README.md` and `trajs/`.

    Each instance's trace in `trajs/<instance>.json` holds everything that the system did: the trajectories of all
    rollouts in ATIF, their summaries, and the brackets with votes and reasons.

    Returns:
        The directory.

    Raises:
        UsageError: the run is not a sweep over SWE-bench rows, or no task has ended.
    """
    if run.manifest.identity.get("env") != "swebench":
        raise UsageError("only a sweep over SWE-bench rows can be submitted to its leaderboard")
    tasks = [task for task in (read_task(run, one) for one in task_ids(run)) if task.result is not None]
    if not tasks:
        raise UsageError("no task of this run has ended: there is nothing to submit yet")
    names = sorted({model for task in tasks for model in _models(task)})
    started = next((event.time for event in read_events(run)), "")[:10].replace("-", "")
    place = directory / "leaderboard" / slug(f"{started}_heats_{'+'.join(names)}")
    lines = "".join(json.dumps(one) + "\n" for one in final_predictions(tasks))
    _write(place / "all_preds.jsonl", lines)
    _write(place / "metadata.yaml", yaml.safe_dump(_metadata(tasks, names), sort_keys=False, allow_unicode=True))
    _write(place / "README.md", _readme(run, tasks, names))
    for task in tasks:
        _write(place / "trajs" / f"{slug(task.id)}.json", json.dumps(_trace(run, task), indent=1) + "\n")
    return [place]


def _write(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8", "replace"), mode=0o644)


def _models(task: TaskFacts) -> set[str]:
    outcomes = (one.outcome for one in task.rollouts())
    return {one_line(outcome.model, 200) for outcome in outcomes if outcome is not None and outcome.model}


def _metadata(tasks: Iterable[TaskFacts], models: list[str]) -> dict[str, Any]:
    several = any(sum(1 for _ in task.rollouts()) > 1 for task in tasks)
    return {
        "info": {"name": _title(models), "site": "", "report": "", "authors": "", "logo": ""},
        "tags": {
            "checked": False,
            "model": models,
            "org": "",
            "os_model": None,
            "os_system": True,
            "system": {"attempts": "2+" if several else "1"},
        },
    }


def _title(models: list[str]) -> str:
    return f"heats + {', '.join(models) or 'unknown model'}"


def _readme(run: RunStore, tasks: list[TaskFacts], models: list[str]) -> str:
    config = _mapping(run.manifest.identity.get("config"))
    network = str(_mapping(config.get("sandbox")).get("network", "none"))
    solved = ""
    if find_basis(run) == "pass":
        passed = sum(task.ending("pass") == "solved" for task in tasks)
        solved = f"\n- Solved, by heats' grader: {passed} ({passed / len(tasks):.1%})"
    return _README.format(
        name=_title(models),
        model=", ".join(models),
        agent=_mapping(config.get("agent")).get("name", "unknown"),
        selector=_mapping(config.get("tournament")).get("selector", "unknown"),
        policy=_mapping(config.get("policy")).get("name", "fixed"),
        network=network,
        tasks=len(tasks),
        solved=solved,
        web="[x]" if network == "none" else "[ ]",
        network_words="no network" if network == "none" else f"the network `{network}`: say how lookups are prevented",
        **{key: config.get(key, "?") for key in ("rollouts", "iterations", "select_k")},
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _trace(run: RunStore, task: TaskFacts) -> dict[str, Any]:
    rollouts: dict[str, Any] = {}
    for one in task.rollouts():
        files = task.store.rollout(one.id)
        trajectory, summary = files.trajectory(), files.summary()
        rollouts[one.id] = {
            "trajectory": to_atif(trajectory, session_id=run.manifest.run_id) if trajectory is not None else None,
            "summary": summary.model_dump(mode="json") if summary is not None else None,
        }
    brackets = [bracket.model_dump(mode="json") if bracket is not None else None for bracket in task.brackets]
    return {"instance_id": task.id, "selected": task.selected, "rollouts": rollouts, "tournaments": brackets}
