"""A pytest plugin, loaded by PYTEST_PLUGINS, that tells repair_record about every test.

PYTEST_DONT_REWRITE: pytest's assertion rewriting has no business here.
The repair policy sends this file to the sandbox. Python 3.8 or later.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from repair_record import recorder  # type: ignore[import-not-found]


class Ended:
    """Reports of the test that is running."""

    failed = False
    text = ""


def pytest_configure(config: Any) -> None:
    """All failures are wanted, whatever `-x` says; when edits are tried, without costly tracebacks."""
    config.option.maxfail = 0
    if recorder().only is not None and not recorder().tracing:
        config.option.tbstyle = "native"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Run the wanted tests only."""
    only = recorder().only
    if only is not None:
        items[:] = [item for item in items if item.nodeid in only]


if int(pytest.__version__.split(".")[0]) >= 7:

    def pytest_ignore_collect(collection_path: Any, config: Any) -> bool | None:
        """Do not even import test files that hold no wanted test."""
        only = recorder().only
        if only is None or collection_path.suffix != ".py" or collection_path.name in ("conftest.py", "__init__.py"):
            return None
        path = collection_path.as_posix()
        return None if any(path.endswith(test.split("::")[0]) for test in only) else True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: Any) -> Iterator[None]:
    """Record one test: set-up, call and tear-down."""
    Ended.failed, Ended.text = False, ""
    begun = recorder().begin(item.nodeid)
    started = time.monotonic()
    yield
    if begun:
        recorder().end(Ended.failed, Ended.text, started)


def pytest_runtest_logreport(report: Any) -> None:
    """Keep the failure, if it is one."""
    if report.failed:
        Ended.failed = True
        Ended.text = getattr(report, "longreprtext", "") or str(report.longrepr)


def pytest_collectreport(report: Any) -> None:
    """A file that cannot be collected counts as a failing test."""
    if report.failed:
        recorder().note("collect:" + report.nodeid, False, str(report.longrepr), 0.0)


def pytest_unconfigure() -> None:
    """Write the line counts."""
    recorder().dump()
