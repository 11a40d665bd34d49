"""What can go wrong with tasks, patches and grading.

* EnvsError
  + TaskError              a task cannot be used as given: no such repository, empty issue, bad row
    - SetupFailed          the task's own set-up failed in the sandbox (infrastructure, not the agent)
    - BaselineUnusable     the test command runs no tests on the untouched tree, or cannot load them
      . TestCommandMissing it does not exist in the sandbox
    - GitMissing           git is not installed on this machine
  + PatchRejected          a patch that must not be stored or applied (carries every reason)
"""

from core.errors import ExpectedError


class EnvsError(ExpectedError):
    """Base of this room's errors."""


class TaskError(EnvsError):
    """The task cannot be used as given; the message says what to change."""


class SetupFailed(TaskError):
    """A task's set-up failed in its sandbox, so no attempt can be made."""


class BaselineUnusable(TaskError):
    """The test command's result on the unpatched tree says nothing about patches; the message quotes the runner."""


class TestCommandMissing(BaselineUnusable):
    """The shell in the sandbox does not find the test command."""

    __test__ = False  # not a test class, despite its name (for pytest)


class GitMissing(TaskError):
    """git, which is needed to read repositories, is not installed on this machine."""


class PatchRejected(EnvsError):
    """A patch breaks the rules for what may leave a sandbox.

    Attributes:
        reasons: path and rule, one line each.
    """

    def __init__(self, reasons: tuple[str, ...]) -> None:
        self.reasons = reasons
        super().__init__("; ".join(reasons))
