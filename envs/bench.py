"""Where patches are verified, and by which rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import Field

from core.record import Record
from envs.base import Task
from envs.confirm import Spare, no_room
from envs.machine import spec_for
from envs.patches import PatchRules
from envs.recording import room_for_results
from sandbox.base import SandboxBackend, SandboxLimits, SandboxSpec


class VerifyRules(Record):
    """Rules of verification.

    Attributes:
        repeats: runs of the test command on the base and on a patched tree. A test whose outcome varies between runs on
            the base is flaky and does not count; on a patched tree, the worst outcome of each test counts.
        sentinels: confirm good patches with sentinel tests and another run of the base. Without it, no patch is
            `verified`.
        must_pass: ids of the tests, classes or files that a patch has to fix. If empty, every test that the patch fixes
            counts, and tests that fail with and without it do not.
        allow_collection_errors: continue if some tests cannot be loaded on the base, or the run on the base times out.
            A patch that fixes such tests is not `verified`.
    """

    repeats: int = Field(1, ge=1, le=20)
    sentinels: bool = True
    must_pass: tuple[str, ...] = ()
    allow_collection_errors: bool = False
    patch: PatchRules = PatchRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """How to start sandboxes for verification and grading, and the rules to apply."""

    backend: SandboxBackend
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    labels: Mapping[str, str] = field(default_factory=dict)
    rules: VerifyRules = field(default_factory=VerifyRules)
    keep_doubtful: bool = False
    """Keep changes that may either steer the tests or belong to the fix (`Protection.doubtful`)."""
    spare: Spare = no_room
    """Asks for a second sandbox, so that base and patch can run at the same time."""

    def spec(self, task: Task) -> SandboxSpec:
        """Specification of a sandbox that runs the task's tests."""
        return spec_for(task, self.labels, room_for_results(self.limits))
