"""What a sandbox cannot see, reach or do, and that it is refused if it could."""

import asyncio
import json
import os
import secrets
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import docker
import pytest

import sandbox.docker
from sandbox import Sandbox, SandboxStartError
from sandbox.attest import _ENDS, PROBE, checked_mounts, judge

pytestmark = pytest.mark.asyncio(loop_scope="module")

Start = Callable[..., Awaitable[Sandbox]]
isolated = pytest.mark.kinds("docker", "docker-uid", "docker-busybox", "bubblewrap")

GOOD = """CapInh:\t0000000000000000
CapPrm:\t0000000000000000
CapEff:\t0000000000000000
CapBnd:\t0000000000000000
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes
    lo:       0       0    0    0
"""


async def test_the_probes_pass_on_a_good_report() -> None:
    assert judge(GOOD, network="none", seccomp=True) == []


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("CapEff:\t0000000000000000", "CapEff:\t00000000a80425fb", "CapEff"),
        ("CapBnd:\t0000000000000000\n", "", "CapBnd"),
        ("NoNewPrivs:\t1", "NoNewPrivs:\t0", "NoNewPrivs"),
        ("Seccomp:\t2", "Seccomp:\t0", "Seccomp"),
        ("    lo:", "  eth0: 0\n    lo:", "eth0"),
        ("    lo:", "", "printed nothing"),
        ("Seccomp:\t2", "Seccomp:\t2\nfound: /var/run/docker.sock", "docker.sock"),
        ("Seccomp:\t2", "Seccomp:\t2\nfound: a security rule against ending", "against ending"),
    ],
)
async def test_each_probe_that_fails_is_named(before: str, after: str, why: str) -> None:
    assert why in "; ".join(judge(GOOD.replace(before, after), network="none", seccomp=True))


async def test_what_gvisors_kernel_has_no_word_for_is_no_miss_there() -> None:
    silent = GOOD.replace("CapAmb:\t0000000000000000\n", "").replace("NoNewPrivs:\t1\n", "")
    silent = silent.replace("Seccomp:\t2", "Seccomp:\t0")
    assert judge(silent, network="none", seccomp=False, own_kernel=True) == []
    assert judge(silent, network="none", seccomp=False) == ["NoNewPrivs is None"]
    refused = GOOD.replace("NoNewPrivs:\t1", "NoNewPrivs:\t0")
    assert judge(refused, network="none", seccomp=False, own_kernel=True) == ["NoNewPrivs is 0"]
    able = silent.replace("CapInh:\t0000000000000000", "CapInh:\t0000000000000400")
    assert judge(able, network="none", seccomp=False, own_kernel=True) == ["CapInh is 0000000000000400"]


@pytest.mark.parametrize("shell", ["bash", "sh"])
async def test_a_shell_that_may_signal_nobody_says_so(shell: str) -> None:
    for before, found in (("", False), ("kill() { return 1; }\n", True)):
        done = subprocess.run([shell, "-c", before + _ENDS], capture_output=True, text=True, check=True)
        assert ("found: a security rule against ending" in done.stdout) is found


@isolated
async def test_no_privilege_is_held_or_can_be_gained(sbx: Sandbox, kind: Any) -> None:
    report = (await sbx.exec(PROBE, timeout=120)).stdout.decode()
    filtered = kind.container and not kind.own_kernel
    assert judge(report, network="none", seccomp=filtered, own_kernel=kind.own_kernel) == []
    for attempt in (
        "date -s 2001-01-01",
        "mount -t tmpfs x /mnt",
        "hostname other",
        "chown 12 /tmp",
        # Anybody may make a device node in gVisor, whose kernel then opens only its own devices.
        *([] if kind.own_kernel else ["mknod /tmp/n c 1 1"]),
    ):
        result = await sbx.exec(attempt, timeout=120)
        # Busybox complains that it may not set the clock, but exits with 0.
        assert not result.ok or b"not permitted" in result.stderr, attempt


@isolated
async def test_the_machine_around_it_cannot_be_seen(sbx: Sandbox) -> None:
    processes = (await sbx.exec("ls -d /proc/[0-9]* | wc -l", timeout=120)).stdout
    assert int(processes) < 12
    for path in ("/var/run/docker.sock", "/run/docker.sock", str(Path.home() / ".ssh"), str(Path(__file__).parent)):
        assert (await sbx.exec(f"ls {path}", timeout=120)).exit_code != 0
    assert (await sbx.exec("cat /etc/shadow | grep -c ':[$]'", timeout=120)).stdout.strip() in (b"0", b"")
    assert not (await sbx.exec("echo x >/proc/sys/kernel/core_pattern", timeout=120)).ok


@pytest.mark.kinds("docker", "bubblewrap")
async def test_nothing_on_the_host_can_be_connected_to(sbx: Sandbox) -> None:
    accepted: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, far: accepted.append(far), "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    abstract = f"\0heats-{secrets.token_hex(4)}"
    unix = await asyncio.start_unix_server(lambda _, far: accepted.append(far), abstract)
    script = f"""import socket
for host in ("127.0.0.1", "172.17.0.1", "169.254.169.254", "1.1.1.1"):
    s = socket.socket(); s.settimeout(1); print(s.connect_ex((host, {port})))
s = socket.socket(socket.AF_INET6); s.settimeout(1); print(s.connect_ex(("::1", {port})))
s = socket.socket(socket.AF_UNIX); print(s.connect_ex({abstract!r}))
try: socket.getaddrinfo("example.org", 80); print(0)
except OSError: print(1)
"""
    result = await sbx.exec("python3 -", timeout=120, stdin=script.encode())
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await asyncio.sleep(0.05)
    assert len(accepted) == 1, "only the control connection of this test"
    assert len(result.stdout.split()) == 7, result.text()
    assert b"0" not in result.stdout.split()
    for far in accepted:
        far.close()
    server.close()
    unix.close()


@isolated
async def test_secrets_of_the_host_are_nowhere_in_it(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = f"CANARY{secrets.token_hex(12)}"
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{secret}@proxy:1")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(
        json.dumps({"proxies": {"default": {"httpProxy": f"http://{secret}@p:1"}}})
    )
    (tmp_path / ".netrc").write_text(secret)
    sleeper = subprocess.Popen(["sh", "-c", "sleep 30; :", secret])
    try:
        sbx = await start(limits={"output_bytes": 64 << 20})
        look = "env; cat /proc/*/environ /proc/*/cmdline; ls -laR /tmp /root; "
        look += "find / -xdev -type f -size -64k ! -path '/usr/*' ! -path '/proc/*' -exec cat {} +"
        result = await sbx.exec(look, timeout=60)
        assert result.stdout_total < 64 << 20
        assert secret.encode() not in result.stdout + result.stderr
    finally:
        sleeper.kill()
        sleeper.wait()


@pytest.mark.docker
@pytest.mark.kinds("docker")
async def test_the_container_has_the_flags_and_nothing_else(
    start: Start, daemon: docker.DockerClient, tmp_path: Path, kind: Any
) -> None:
    sbx = await start(read_only_mounts={str(tmp_path): "/opt/tools"})
    about = daemon.api.inspect_container(sbx.machine.name)
    host = about["HostConfig"]
    assert host["Binds"] == [f"{tmp_path}:/opt/tools:ro"]
    assert (host["Privileged"], host["CapAdd"], host["CapDrop"]) == (False, None, ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert (host["NetworkMode"], host["LogConfig"]["Type"], host["IpcMode"]) == ("none", "none", "private")
    assert host["CgroupnsMode"] == "private" or daemon.info().get("CgroupVersion") != "2"
    assert host["Memory"] == host["MemorySwap"] == 2048 << 20
    assert (host["PidsLimit"], host["NanoCpus"]) == (1152 if kind.own_kernel else 256, 10**9)
    assert about["NetworkSettings"]["Ports"] == {}
    assert not (await sbx.exec("touch /opt/tools/x", timeout=120)).ok


@pytest.mark.docker
@pytest.mark.kinds("docker")
async def test_a_sandbox_that_fails_a_probe_is_refused_and_removed(
    start: Start, daemon: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardened = sandbox.docker.DockerBackend._host_config
    monkeypatch.setattr(
        sandbox.docker.DockerBackend,
        "_host_config",
        lambda self, *args: {**hardened(self, *args), "cap_drop": [], "cap_add": ["SYS_ADMIN"]},
    )
    with pytest.raises(SandboxStartError, match="CapEff"):
        await start(labels={"run": "refused"})
    assert daemon.api.containers(all=True, filters={"label": "heats.run=refused"}) == []


async def test_mounts_that_would_hand_the_host_over_are_refused(tmp_path: Path) -> None:
    for host in ("/", str(Path.home()), "/home/..", "/var/run", "/run", "/proc", "/sys/fs", str(tmp_path / "missing")):
        with pytest.raises(SandboxStartError):
            checked_mounts({host: "/opt/x"})
    for target in ("/", "relative", "/a/../b", "/a:b"):
        with pytest.raises(SandboxStartError):
            checked_mounts({str(tmp_path): target})
    os.symlink("/", tmp_path / "root")
    with pytest.raises(SandboxStartError):
        checked_mounts({str(tmp_path / "root"): "/opt/x"})
    assert checked_mounts({str(tmp_path): "/opt/x"}) == {str(tmp_path.resolve()): "/opt/x"}


@pytest.mark.kinds("bubblewrap")
async def test_bubblewrap_says_that_it_cannot_have_a_network_of_its_own(start: Start) -> None:
    with pytest.raises(SandboxStartError, match="network"):
        await start(network="bridge")
