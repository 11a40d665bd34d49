"""Where and by which rules patches are verified."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import Field

from core.record import Record
from envs.base import Task
from envs.machine import spec_for
from envs.patches import PatchRules
from envs.recording import room_for_results
from sandbox.base import SandboxBackend, SandboxLimits, SandboxSpec


class VerifyRules(Record):
    """How verification is done.

    Attributes:
        repeats: runs of the test command on the base and on a patched tree; a test whose outcome differs between
            runs on the base is flaky and not counted, a patched tree is taken by the worst outcome of each test.
        sentinels: confirm good patches with sentinel tests and another run of the base. Without, none is `verified`.
        must_pass: ids of the tests, classes or files that a patch has to fix; when empty, every test counts that it
            fixes, and what fails with and without it does not.
        allow_collection_errors: go on where tests cannot be loaded on the base, or do not end there. What a patch
            fixes of these is not `verified`.
    """

    repeats: int = Field(1, ge=1, le=20)
    sentinels: bool = True
    must_pass: tuple[str, ...] = ()
    allow_collection_errors: bool = False
    patch: PatchRules = PatchRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where and by which rules sandboxes for verification and grading are started."""

    backend: SandboxBackend
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    labels: Mapping[str, str] = field(default_factory=dict)
    rules: VerifyRules = field(default_factory=VerifyRules)
    keep_doubtful: bool = False
    """Leave changes in place that may steer the tests or be part of a fix (`Protection.doubtful`)."""

    def spec(self, task: Task) -> SandboxSpec:
        """A sandbox in which a task's tests are run."""
        return spec_for(task, self.labels, room_for_results(self.limits))
