"""Validates heats' exports with harbor's own models; run by the Python of the environment `harbor`.

`harbor_models.py JOB` reads a job's directory as harbor's viewer does and prints what it found as JSON. If a model
rejects a document, it ends with the model's own message.
"""

import json
import sys
import typing
from pathlib import Path

import typing_extensions

# harbor requires Python 3.12; its models need only these two names from it.
typing.override = typing_extensions.override  # type: ignore[attr-defined]
typing.TypedDict = typing_extensions.TypedDict  # type: ignore[assignment]

from harbor.models.job.config import JobConfig  # noqa: E402
from harbor.models.job.result import JobResult, JobStats  # noqa: E402
from harbor.models.trajectories import Trajectory  # noqa: E402
from harbor.models.trial.config import TrialConfig  # noqa: E402
from harbor.models.trial.result import TrialResult  # noqa: E402
from harbor.utils.pass_at_k import compute_pass_at_k_by_evals  # noqa: E402


def main(job: Path) -> None:
    """Read the job and print what harbor makes of it."""
    JobConfig.model_validate_json((job / "config.json").read_text())
    told = JobResult.model_validate_json((job / "result.json").read_text())
    trials = []
    steps = 0
    for place in sorted(path for path in job.iterdir() if path.is_dir()):
        TrialConfig.model_validate_json((place / "config.json").read_text())
        trials.append(TrialResult.model_validate_json((place / "result.json").read_text()))
        if (place / "agent" / "trajectory.json").exists():
            text = (place / "agent" / "trajectory.json").read_text()
            steps += len(Trajectory.model_validate_json(text).steps)
    counted = JobStats.from_trial_results(trials, n_total_trials=told.n_total_trials)
    for key, value in compute_pass_at_k_by_evals(trials).items():
        counted.evals[key].pass_at_k = value
    found = {
        "trials": len(trials),
        "steps": steps,
        "invalid": sum(not one.reward_valid for one in trials if one.exception_info),
    }
    print(json.dumps({**found, "told": told.stats.model_dump(mode="json"), "counted": counted.model_dump(mode="json")}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
