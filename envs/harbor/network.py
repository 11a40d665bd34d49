"""What the containers of Harbor tasks may reach: nothing, listed hosts through a proxy of ours, or everything."""

import weakref
from collections.abc import Mapping

from envs.errors import SetupFailed
from envs.harbor.endstate import listening_ports
from envs.harbor.taskfile import NetworkPolicy
from sandbox.base import Network, Sandbox, SharesFolder
from sandbox.container import CHANNEL_DIR
from sandbox.egress import ENVIRONMENT, PORT, SOCKET, AllowedHosts, EgressProxy
from sandbox.forward import NoForwarder, start_forwarder
from sandbox.images import as_user
from sandbox.session import ChannelSandbox

_FOLDER = f"{CHANNEL_DIR}/egress"


class Reach:
    """Gives sandboxes the network of their phase.

    Args:
        on: follow the task; otherwise there is no network at all.
        addresses: see `EgressProxy`.
    """

    def __init__(self, *, on: bool, addresses: Mapping[str, str]) -> None:
        self.on = on
        self._addresses = addresses
        self._proxies: weakref.WeakKeyDictionary[Sandbox, EgressProxy] = weakref.WeakKeyDictionary()

    def network(self, policy: NetworkPolicy) -> Network:
        """The container's network."""
        return "bridge" if self.on and policy.mode == "public" else "none"

    def variables(self, policy: NetworkPolicy) -> Mapping[str, str]:
        """Environment variables that lead programs to the proxy, if there is one."""
        return ENVIRONMENT if self.on and policy.mode == "allowlist" else {}

    async def connect(self, sandbox: Sandbox, policy: NetworkPolicy) -> None:
        """Let a sandbox reach what a policy lists, and nothing that an earlier one listed.

        Raises:
            SetupFailed: the sandbox cannot be connected.
            SandboxError
        """
        if not self.on:
            return
        proxy, wanted = self._proxies.get(sandbox), policy.mode == "allowlist"
        if proxy is not None:
            proxy.allowed = AllowedHosts.of(policy.hosts if wanted else ())
        elif wanted:
            proxy = await self._open(sandbox, policy)
        if not wanted:
            return
        # The attempt may have killed the forwarder along with its own processes.
        async with as_user(sandbox, "0") as root:
            if PORT not in await listening_ports(root):
                assert isinstance(sandbox, SharesFolder) and sandbox.shared is not None
                try:
                    await start_forwarder(root, _FOLDER, f"{sandbox.shared.inside}/{SOCKET}", port=PORT)
                except NoForwarder as error:
                    raise SetupFailed(f"the task's allowed hosts cannot be reached: {error}") from None

    async def _open(self, sandbox: Sandbox, policy: NetworkPolicy) -> EgressProxy:
        shared = sandbox.shared if isinstance(sandbox, SharesFolder) else None
        if shared is None or not isinstance(sandbox, ChannelSandbox):
            raise SetupFailed(
                "a network of allowed hosts needs a folder shared with the container, which a Docker daemon on this "
                "machine with sandbox.channel auto or pipes provides; -O network=none plays the task without network"
            )
        proxy = EgressProxy(AllowedHosts.of(policy.hosts), self._addresses)
        try:
            await proxy.open(shared.host)
        except OSError as error:
            raise SetupFailed(f"the proxy's socket cannot be made in {shared.host}: {error.strerror}") from None
        sandbox.closes(proxy.close)
        self._proxies[sandbox] = proxy
        return proxy
