"""Connect one rollout's sandbox to the model: the door on the host, the forwarder in the sandbox."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agents.errors import AgentUnusable
from agents.gateway.asking import Asking
from sandbox.base import Sandbox, SharesFolder
from sandbox.forward import NoForwarder, start_forwarder


@dataclass(frozen=True, slots=True)
class Line:
    """How an agent in the sandbox reaches the model.

    Attributes:
        base_url: address of the gateway as seen from the sandbox, with `/v1`.
        token: the key that it accepts.
    """

    base_url: str
    token: str

    def environment(self, model: str) -> Mapping[str, str]:
        """The variables that agents read, for a model's name."""
        origin = self.base_url.removesuffix("/v1")
        return {
            "HEATS_BASE_URL": self.base_url,
            "HEATS_API_KEY": self.token,
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_API_BASE": self.base_url,
            "OPENAI_API_KEY": self.token,
            "OPENAI_MODEL": model,
            "ANTHROPIC_BASE_URL": origin,
            "ANTHROPIC_API_KEY": self.token,
            "ANTHROPIC_MODEL": model,
            "GOOGLE_GEMINI_BASE_URL": origin,
            "GEMINI_API_KEY": self.token,
            "GEMINI_MODEL": model,
            "NO_PROXY": "127.0.0.1,localhost",
        }


@asynccontextmanager
async def open_line(
    asking: Asking, sandbox: Sandbox, folder: str, *, node: str = "", python: str = ""
) -> AsyncIterator[Line]:
    """Open a rollout's gateway for the duration of the block.

    Args:
        asking: answers the requests.
        sandbox: the rollout's sandbox.
        folder: directory in the sandbox for the forwarder's files.
        node: path in the sandbox of a Node.js program, if it is not on PATH.
        python: path in the sandbox of a Python interpreter, if it is not on PATH.

    Raises:
        AgentUnusable: the sandbox cannot be connected.
        SandboxError: the sandbox failed.
    """
    from agents.gateway.door import NAME, Door  # aiohttp takes long to import

    shared = sandbox.shared if isinstance(sandbox, SharesFolder) else None
    if shared is None:
        raise AgentUnusable(
            "the model cannot be reached from the sandbox: the gateway needs a folder shared with it, which a Docker "
            "daemon on this machine with sandbox.channel auto or pipes provides, or bubblewrap"
        )
    door = Door(asking)
    try:
        try:
            await door.open(shared.host)
        except OSError as error:
            raise AgentUnusable(f"the model's socket cannot be made in {shared.host}: {error.strerror}") from error
        try:
            port = await start_forwarder(sandbox, folder, f"{shared.inside}/{NAME}", node, python)
        except NoForwarder as error:
            raise AgentUnusable(f"the model cannot be reached from the sandbox: {error}") from error
        yield Line(f"http://127.0.0.1:{port}/v1", door.token)
    finally:
        await door.close()
