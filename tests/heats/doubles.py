"""An env, a backend and a model without machines, for the pipeline: commands `patch TEXT` change the "tree"."""

import asyncio
import shlex

from agents.llm.fake_persona import Persona, PersonaModel, Script
from envs.base import Grade, Patch, Task
from sandbox.base import ExecResult
from sandbox.errors import SandboxStartError


class PaperSandbox:
    """Stores the text of the last `patch TEXT` command as its only content."""

    def __init__(self, backend):
        self.backend, self.content, self.closed = backend, "", False
        self.files = {}

    async def exec(self, command, **_):
        await asyncio.sleep(0)
        verb, *rest = shlex.split(command)
        if verb == "patch":
            self.content = rest[0]
        return ExecResult(status="exited", exit_code=0, stdout=command.encode(), stdout_total=len(command))

    async def write_file(self, path, data, **_):
        self.files[path] = data

    async def kill_all(self):
        pass

    async def close(self):
        if not self.closed:
            self.closed = True
            self.backend.open -= 1


class PaperBackend:
    """Starts `PaperSandbox`es; the first `fail` starts raise."""

    name = "paper"

    def __init__(self, fail=0):
        self.open = self.started = self.peak = 0
        self.fail = fail

    async def start(self, spec):
        self.started += 1
        if self.fail:
            self.fail -= 1
            raise SandboxStartError("no paper left")
        self.open += 1
        self.peak = max(self.peak, self.open)
        return PaperSandbox(self)


class PaperEnv:
    """Tasks without tests; a patch of `right` passes."""

    name = "paper"

    def __init__(self, *ids):
        self._tasks = [Task(id=one, statement=f"Write something right for {one}.", image="paper") for one in ids]

    def tasks(self):
        return self._tasks

    async def prepare(self, task, sandbox):
        pass

    async def collect(self, task, sandbox):
        if not sandbox.content:
            return Patch(b"")
        line = sandbox.content
        return Patch(f"diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-x\n+{line}\n".encode())

    async def grade(self, task, patch, backend):
        return Grade(task_id=task.id, outcome="pass" if b"+right" in patch.data else "fail")


class TestedEnv(PaperEnv):
    """Tasks with a test command that a patch of `right` passes."""

    __test__ = False

    def __init__(self, *ids, timeout_s=None):
        super().__init__(*ids)
        more = {"test_command": "check", "agent_timeout_s": timeout_s}
        self._tasks = [task.model_copy(update=more) for task in self._tasks]


SCRIPT = Script.model_validate(
    {
        "rules": [{"variants": [["look", "patch right"], ["patch wrong"], ["look", "look", "patch odd"], ["look"]]}],
        "pick": "hash",
    }
)


class Killed(BaseException):
    """Stands in for a kill: nothing may catch it and continue."""


class CountingModel(PersonaModel):
    """A persona that remembers the digests of its requests across the processes of a test."""

    def __init__(self, asked, *, fail_after=None):
        super().__init__("fake:counting", SCRIPT)
        self._persona = Persona(SCRIPT)
        self.asked, self.fail_after = asked, fail_after

    async def complete(self, messages, **options):
        if self.fail_after is not None:
            self.fail_after -= 1
            if self.fail_after < 0:
                raise Killed
        reply = await super().complete(messages, **options)
        schema, sampling = options.get("response_schema"), options.get("sampling")
        self.asked.append((schema.name if schema else "agent", str(messages), sampling and sampling.seed))
        return reply


def one_line(err):
    """The one line that a failed command prints for the user."""
    lines = [line for line in err.strip().splitlines() if not line.startswith("note:")]
    assert len(lines) == 1, err
    assert lines[0].startswith("heats: ")
    return lines[0]
