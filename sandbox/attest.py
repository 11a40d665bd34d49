"""Probes that a sandbox must pass before use, and checks on what may be mounted into one."""

import posixpath
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path

from sandbox.base import Network, Profile, Sandbox, SandboxSpec
from sandbox.channel import Channel
from sandbox.errors import SandboxStartError
from sandbox.supervisor import PRIVACY_PROBE, Request

_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock", "/run/containerd/containerd.sock")
_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
_IMPLIED = "CapAmb"
"""The kernel caps it at what is both inheritable and permitted, so it may be missing, as under gVisor."""
_DOCKERS_OWN = 0xA80425FB
"""Docker's default capabilities, as a bit set."""
_ALIVE, _NO_WORKDIR = 7, 8
_DEVICES = "Inter-|"
"""Start of the network interface table."""
_PRIVATE = "Supervisor: private"
_PROBE_S = 30.0

# AppArmor 4 labels crun's containers with a name that Docker's profile does not allow them to signal, so no command
# could be killed. SIGCONT probes for this without side effects.
_ENDS = 'kill -CONT $$ 2>/dev/null || echo "found: a security rule against ending its own processes"'

# Each file is read in one piece. A shell reading line by line seeks back after each line, but the kernel regenerates
# these files on every read, so they may have changed length by then.
PROBE = f"""{PRIVACY_PROBE}cat /proc/$$/status /proc/net/dev
for f in {" ".join(_SOCKETS)}; do [ ! -e "$f" ] || echo "found: $f"; done
if echo 1 2>/dev/null >/proc/sys/kernel/hostname; then echo "found: writable kernel settings"; fi
{_ENDS}
"""

# gVisor's default overlay stores all writes in one file that is at least a GiB to the daemon: the disk limit would end
# the sandbox at once, and an image kept of its state would contain none of it.
_OVERLAY_PROBE = """case $(cat /proc/$$/mounts) in
"none / overlay "*) echo "found: gVisor's overlay, which hides from the daemon what is written (--overlay2=none)" ;;
esac
"""


_IO_URING = """import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall(425, 1, None)
print("allowed" if ctypes.get_errno() == errno.EFAULT else "refused")
"""
"""Calls io_uring_setup, which has the same number on every architecture, without parameters."""


async def attest(channel: Channel, spec: SandboxSpec, nonce: str, *, seccomp: bool, own_kernel: bool = False) -> bool:
    """Run the probes and refuse the sandbox if any of them fails.

    Args:
        channel: an open channel into the sandbox.
        spec: the spec it was started with. A missing workdir is created by the sandbox's user, who then owns it.
        nonce: fresh nonce for the probe command.
        seccomp: whether a system call filter is expected.
        own_kernel: see `judge`.

    Returns:
        Whether commands are unable to read the supervisor's memory and hence to forge its records.

    Raises:
        SandboxStartError: a probe failed; the message names all that did.
    """
    workdir = shlex.quote(spec.workdir)
    probes = PROBE + _OVERLAY_PROBE * own_kernel
    command = f"[ -d {workdir} ] || mkdir -p -- {workdir} || exit {_NO_WORKDIR}\n{probes}exit {_ALIVE}\n"
    request = Request(nonce, command.encode(), "/", {"BASH_ENV": ""})
    result = await channel.run(request, timeout=_PROBE_S, limit=1 << 18)
    if result.exit_code == _NO_WORKDIR:
        raise SandboxStartError(f"the sandbox user cannot create the working directory {spec.workdir}")
    if result.exit_code != _ALIVE:
        raise SandboxStartError(f"the sandbox does not run commands: {result.status} {result.text().strip()[-200:]}")
    report = result.stdout.decode("utf-8", "replace")
    if missed := judge(report, network=spec.network, seccomp=seccomp, profile=spec.profile, own_kernel=own_kernel):
        raise SandboxStartError("the sandbox failed its own probes: " + "; ".join(missed))
    return _PRIVATE in report and not own_kernel


async def has_private_supervisor(channel: Channel, nonce: str) -> bool:
    """Check that commands cannot read the supervisor's memory, for backends that attest nothing else."""
    request = Request(nonce, PRIVACY_PROBE.encode(), "/", {"BASH_ENV": ""})
    return _PRIVATE.encode() in (await channel.run(request, timeout=_PROBE_S, limit=4096)).stdout


async def allows_io_uring(sandbox: Sandbox) -> bool | None:
    """Check whether a sandbox may use io_uring, a large kernel interface with a history of vulnerabilities.

    Docker's default profile refuses it since version 25. Returns None if the image has no Python to check with.
    """
    result = await sandbox.exec("python3 -", timeout=_PROBE_S, stdin=_IO_URING.encode())
    return {b"allowed\n": True, b"refused\n": False}.get(result.stdout)


def judge(
    report: str, *, network: Network, seccomp: bool, profile: Profile = "strict", own_kernel: bool = False
) -> list[str]:
    """Evaluate the probe output.

    Args:
        report: output of `PROBE`.
        network: the network that the spec requested.
        seccomp: whether a system call filter is expected.
        profile: the profile that the spec requested.
        own_kernel: whether the sandbox has a kernel of its own; gVisor's does not report no-new-privileges.

    Returns:
        One line per failed probe; empty if the boundary is intact.
    """
    allowed = 0 if profile == "strict" else _DOCKERS_OWN
    status, _, network_devices = report.partition(_DEVICES)
    fields = {key: value.strip() for key, _, value in (line.partition(":") for line in status.splitlines())}
    reported = [name for name in _CAPABILITIES if name in fields or name != _IMPLIED]
    missed = [f"{name} is {fields.get(name)}" for name in reported if int(fields.get(name) or "f" * 16, 16) & ~allowed]
    unreported = own_kernel and "NoNewPrivs" not in fields
    if profile == "strict" and not unreported and fields.get("NoNewPrivs") != "1":
        missed.append(f"NoNewPrivs is {fields.get('NoNewPrivs')}")
    if seccomp and fields.get("Seccomp") != "2":
        missed.append(f"Seccomp is {fields.get('Seccomp')}")
    found = [line.removeprefix("found: ") for line in report.splitlines() if line.startswith("found: ")]
    missed += [f"{one} is present" for one in found]
    rows = [line.partition(":") for line in network_devices.splitlines() if not line.startswith("found: ")]
    interfaces = {name.strip() for name, colon, _ in rows if colon}
    if "lo" not in interfaces and network == "none":
        missed.append("the network probe printed nothing")
    if network == "none" and interfaces - {"lo"}:
        # The kernel adds tunnel devices to every namespace; they are down and unconnected.
        leads = sorted(name for name in interfaces - {"lo"} if not name.startswith(_KERNEL_DEVICES))
        missed += [f"there is a network interface {name}" for name in leads]
    return missed


_KERNEL_DEVICES = ("tunl", "gre", "erspan", "ip_vti", "ip6_vti", "sit", "ip6tnl", "ip6gre")


def checked_mounts(mounts: Mapping[str, str], private: Collection[Path] = ()) -> dict[str, str]:
    """Resolve and check the read-only mounts of a spec.

    Args:
        mounts: host directory -> path in the sandbox.
        private: directories that no sandbox may see.

    Raises:
        SandboxStartError: a mount would expose the host, does not exist, or has an invalid target.
    """
    checked: dict[str, str] = {}
    for host, target in mounts.items():
        source = Path(host).resolve()
        if not source.is_dir():
            raise SandboxStartError(f"not a directory, so not mounted: {host}")
        if reason := refuse_private(source, private):
            raise SandboxStartError(f"refused to mount {host}: {reason}")
        if source.parts[1] in ("proc", "sys", "dev"):
            raise SandboxStartError(f"refused to mount {host}: kernel interfaces must not be shared")
        if not posixpath.isabs(target) or posixpath.normpath(target) != target or target == "/" or ":" in target + host:
            raise SandboxStartError(f"not usable as a mount target: {target}")
        checked[str(source)] = target
    return checked


def refuse_private(directory: Path, private: Collection[Path] = ()) -> str:
    """Explain why no sandbox may see a host directory; empty if it may.

    Args:
        directory: host directory that the sandbox would see, including everything below it.
        private: further directories that no sandbox may see.
    """
    directory, home = directory.resolve(), Path.home().resolve()
    if directory == Path("/"):
        return "it is the whole machine"
    if home.is_relative_to(directory):
        return "it contains the home directory"
    for path in private:
        if path.resolve().is_relative_to(directory) or directory.is_relative_to(path.resolve()):
            return f"it contains or lies in {path}, which no sandbox may see"
    # A root directory may contain files of these names; only the host's actual socket locations matter.
    if any(Path(name).resolve().is_relative_to(directory) for name in _SOCKETS):
        return "a container engine's socket lies in it"
    return ""
