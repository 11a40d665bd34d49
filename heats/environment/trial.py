"""Tries a proposal: prepares the sandbox, runs the tests twice on the unmodified tree, and evaluates the outcome."""

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
"""Well-known packages by the name whose absence indicates them. Other names are only reported, since a package of that
name may be unrelated."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The result of trying a proposal.

    Attributes:
        notes: messages of the preparation.
        prepare_s: duration of the preparation in seconds; near zero if its result is cached.
        reports: one report per run of the tests.
        problem: why the tests are unsuitable for judging patches; None if they are suitable.
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
        """Modules, commands and fixtures that the tests require but do not find."""
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
        bench: where the tests run, and the rules for whether they are usable.
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
    """Return what the tests require but do not find, according to their output."""
    texts = (report.output, *report.collection_errors.values())
    found = [next(filter(None, match.groups())) for text in texts for match in _MISSING.finditer(text)]
    return list(dict.fromkeys(found))


def project_last(setup: str, error: str) -> str | None:
    """The set-up with the project installed after everything else, as tox does; then pip accepts conflicts with it.

    Args:
        setup: a detected set-up.
        error: why it failed.

    Returns:
        The other set-up; None if that was not the reason, or it installs no project.
    """
    if "ResolutionImpossible" not in error:
        return None
    at_once = r"((?:\w+=\S+ )?\S+ -m pip install -q) (-e \S+) ([^&]+?)(?= &&|$)"
    apart = re.sub(at_once, r"\1 \3 && \1 \2", setup, count=1)
    return apart if apart != setup else None


def known_packages(trial: Trial, setup: str) -> list[str]:
    """Return well-known packages that provide what is missing and are not yet installed by the set-up."""
    names = (name.partition(".")[0] for name in trial.missing)
    wanted = dict.fromkeys(_KNOWN[name] for name in names if name in _KNOWN)
    return [one for one in wanted if one not in setup.split()]
