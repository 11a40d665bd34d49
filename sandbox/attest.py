"""Probes that a sandbox has to pass before it is used, and checks of what may be mounted into one."""

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
"""No more than what is both inheritable and permitted, so nothing is lost where gVisor's kernel does not report it."""
_DOCKERS_OWN = 0xA80425FB
"""Capabilities of an ordinary container, as a bit set."""
_ALIVE, _NO_WORKDIR = 7, 8
_DEVICES = "Inter-|"
"""How the table of network interfaces begins."""
_PRIVATE = "Supervisor: private"
_PROBE_S = 30.0

# AppArmor 4 gives crun's containers another name than the one that Docker's profile lets them signal: there no command
# can be ended. This signal changes nothing where it gets through.
_ENDS = 'kill -CONT $$ 2>/dev/null || echo "found: a security rule against ending its own processes"'

# Each file is read in one piece: a shell that reads line by line seeks back after each, in a text that the kernel makes
# anew for every read and that may be shorter or longer by then.
PROBE = f"""{PRIVACY_PROBE}cat /proc/$$/status /proc/net/dev
for f in {" ".join(_SOCKETS)}; do [ ! -e "$f" ] || echo "found: $f"; done
if echo 1 2>/dev/null >/proc/sys/kernel/hostname; then echo "found: writable kernel settings"; fi
{_ENDS}
"""

# With gVisor's own overlay, its default, everything that a sandbox writes is one file of a GiB or more to the daemon:
# the disk limit would end the sandbox at once, and a state kept as an image would contain nothing of it.
_OVERLAY_PROBE = """case $(cat /proc/$$/mounts) in
"none / overlay "*) echo "found: gVisor's overlay, which hides from the daemon what is written (--overlay2=none)" ;;
esac
"""


_IO_URING = """import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall(425, 1, None)
print("allowed" if ctypes.get_errno() == errno.EFAULT else "refused")
"""
"""Asks io_uring_setup, whose number is the same on all machines, for a ring without parameters."""


async def attest(channel: Channel, spec: SandboxSpec, nonce: str, *, seccomp: bool, own_kernel: bool = False) -> bool:
    """Run the probes and refuse the sandbox on any miss.

    Args:
        channel: an open channel into it.
        spec: what it was started with; its workdir is made if it is not there, and so belongs to its user.
        nonce: fresh, for the probe command.
        seccomp: whether a system call filter is expected.
        own_kernel: as in `judge`.

    Returns:
        Whether commands are kept from the memory of the supervisor, and so from forging its records.

    Raises:
        SandboxStartError: naming every probe that failed.
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
    said = result.stdout.decode("utf-8", "replace")
    if missed := judge(said, network=spec.network, seccomp=seccomp, profile=spec.profile, own_kernel=own_kernel):
        raise SandboxStartError("the sandbox failed its own probes: " + "; ".join(missed))
    return _PRIVATE in said and not own_kernel


async def has_private_supervisor(channel: Channel, nonce: str) -> bool:
    """Whether commands are kept from the supervisor's memory, where nothing else is attested."""
    request = Request(nonce, PRIVACY_PROBE.encode(), "/", {"BASH_ENV": ""})
    return _PRIVATE.encode() in (await channel.run(request, timeout=_PROBE_S, limit=4096)).stdout


async def allows_io_uring(sandbox: Sandbox) -> bool | None:
    """Whether a sandbox lets its commands use io_uring, a large and often broken part of the kernel; None where the
    image has no Python to ask with. Docker's own profile refuses it since version 25."""
    result = await sandbox.exec("python3 -", timeout=_PROBE_S, stdin=_IO_URING.encode())
    return {b"allowed\n": True, b"refused\n": False}.get(result.stdout)


def judge(
    report: str, *, network: Network, seccomp: bool, profile: Profile = "strict", own_kernel: bool = False
) -> list[str]:
    """The probes that failed, as texts; empty when the boundary is as it should be.

    Args:
        report: what `PROBE` printed.
        network: what the sandbox was asked to have.
        seccomp: whether a system call filter is expected.
        profile: what the sandbox was asked to be.
        own_kernel: the sandbox's kernel is not this machine's; gVisor's does not report no-new-privileges.
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
        # The tunnel devices that the kernel adds to every namespace are down and lead nowhere.
        leads = sorted(name for name in interfaces - {"lo"} if not name.startswith(_KERNEL_DEVICES))
        missed += [f"there is a network interface {name}" for name in leads]
    return missed


_KERNEL_DEVICES = ("tunl", "gre", "erspan", "ip_vti", "ip6_vti", "sit", "ip6tnl", "ip6gre")


def checked_mounts(mounts: Mapping[str, str], private: Collection[Path] = ()) -> dict[str, str]:
    """The read-only mounts of a spec, resolved.

    Args:
        mounts: directory of this machine -> path in the sandbox.
        private: directories that no sandbox may see.

    Raises:
        SandboxStartError: a mount that would hand the host over, does not exist, or has an unusable target.
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
    """Why no sandbox may see a directory of this machine; empty where it may.

    Args:
        directory: that a sandbox would see, with all in it.
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
    # A root directory may hold files of these names of its own; what counts is where the sockets of this machine are.
    if any(Path(name).resolve().is_relative_to(directory) for name in _SOCKETS):
        return "a container engine's socket lies in it"
    return ""
