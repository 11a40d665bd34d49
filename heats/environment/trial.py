"""Try a proposal: prepare the sandbox, run the tests on the untouched tree twice, and see what came out."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from envs import Bench, RepositoryEnv
from envs.base import TestOutcome, TestReport
from envs.baseline import run_base, setup_problem
from sandbox.base import SandboxBackend, SandboxLimits

RUNS = 2
_MISSING = re.compile(
    r"No module named ['\"]?([A-Za-z_][\w.]*)|fixture '(\w+)' not found|(\S+): (?:command )?not found"
    r"|Cannot find module '([^'.][^']*)'|unrecognized arguments: (.+)"
)
_KNOWN = {
    "hypothesis": "hypothesis",
    "pytest_asyncio": "pytest-asyncio",
    "pytest_mock": "pytest-mock",
    "pytest_cov": "pytest-cov",
    "mocker": "pytest-mock",
    "benchmark": "pytest-benchmark",
    "httpserver": "pytest-httpserver",
    "httpbin": "pytest-httpbin",
    "freezer": "pytest-freezer",
    "subtests": "pytest-subtests",
    "datadir": "pytest-datadir",
    "setuptools": "setuptools",
    "pkg_resources": "setuptools<81",
    "numpy": "numpy",
    "yaml": "pyyaml",
    "mock": "mock",
    "attr": "attrs",
    "trustme": "trustme",
    "freezegun": "freezegun",
    "parameterized": "parameterized",
    "ddt": "ddt",
    "nose": "pynose",
    "testfixtures": "testfixtures",
    "pretend": "pretend",
    "flaky": "flaky",
    "responses": "responses",
    "simplejson": "simplejson",
    "psutil": "psutil",
}
"""Well-known packages by what is missing without them. Other names are only reported: a package of that name may be
something else."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The result of trying a proposal.

    Attributes:
        notes: what the preparation said.
        prepare_s: seconds that the preparation took; next to nothing if its result was kept already.
        reports: one report per run of the tests.
        problem: why the tests cannot serve to judge patches; None if they can.
    """

    notes: tuple[str, ...]
    prepare_s: float
    reports: tuple[TestReport, ...]
    problem: str | None

    @property
    def doubt(self) -> str | None:
        """Why the set-up probably lacks something although tests ran; None if nothing suggests it."""
        counts = self.counts
        bad = counts["failed"] + counts["error"]
        if bad <= counts["passed"]:
            return None
        return (
            f"{bad} of {bad + counts['passed']} tests fail on the untouched tree; the set-up probably lacks something"
        )

    @property
    def failing(self) -> tuple[str, ...]:
        """Tests that failed in the first run."""
        return self.reports[0].ids("failed", "error")

    @property
    def unstable(self) -> tuple[str, ...]:
        """Tests whose outcome differs between the runs."""
        first, *others = (dict(report.tests) for report in self.reports)
        return tuple(sorted(test for other in others for test in first | other if first.get(test) != other.get(test)))

    @property
    def missing(self) -> tuple[str, ...]:
        """Modules, commands and fixtures that the tests asked for in vain."""
        return tuple(missing(self.reports[0]))

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of tests by outcome, in the first run."""
        return {outcome: len(self.reports[0].ids(outcome)) for outcome in get_args(TestOutcome)}


async def try_out(env: RepositoryEnv, backend: SandboxBackend, bench: Bench, limits: SandboxLimits) -> Trial:
    """Prepare the environment once and run the tests in a sandbox that starts from it.

    Args:
        env: the repository.
        backend: starts the sandboxes.
        bench: where the tests run, and the rules that say whether they can be used.
        limits: limits of the sandbox that is prepared.

    Raises:
        SetupFailed, SandboxError
    """
    start = time.monotonic()
    notes = await env.prepare_once(backend, limits)
    prepare_s = time.monotonic() - start
    reports = await run_base(env, env.task, bench, times=RUNS)
    problem = setup_problem(reports[0], env.task, bench.rules)
    problem = problem.partition("; --allow-collection-errors")[0] if problem else None
    if problem is None and reports[0].status == "missing":
        problem = f"the sandbox does not have the test command: {env.task.test_command}"
    return Trial(notes=tuple(notes), prepare_s=prepare_s, reports=tuple(reports), problem=problem)


def missing(report: TestReport) -> list[str]:
    """What tests asked for in vain, as their output says."""
    texts = (report.output, *report.collection_errors.values())
    found = [next(filter(None, match.groups())) for text in texts for match in _MISSING.finditer(text)]
    return list(dict.fromkeys(found))


def known_packages(trial: Trial, setup: str) -> list[str]:
    """Well-known packages that would supply what is missing, and that the set-up does not install yet."""
    names = (name.partition(".")[0] for name in trial.missing)
    wanted = dict.fromkeys(_KNOWN[name] for name in names if name in _KNOWN)
    return [one for one in wanted if one not in setup.split()]
