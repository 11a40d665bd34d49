"""System calls that bubblewrap's sandboxes may not make: the filter as a table, and as the kernel applies it."""

import struct
import subprocess
import sys

import pytest

from sandbox import Sandbox
from sandbox.bubblewrap import _KeyringThread
from sandbox.seccomp import _REFUSED, seccomp_filter

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x50001, 0x50026, 0x80000000
X86_64, AARCH64, I386, ARM = 0xC000003E, 0xC00000B7, 0x40000003, 0x40000028
NATIVE = {"x86_64": X86_64, "aarch64": AARCH64}


def verdict(machine: str, number: int, *arguments: int, abi: int = 0) -> int:
    """The filter's answer to a call: an interpreter for as much of the kernel's machine as our program needs."""
    program = seccomp_filter(machine) or b""
    code = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    padded = [*arguments, *([0] * (6 - len(arguments)))]
    data = struct.pack("<IIQ6Q", number, abi or NATIVE[machine], 0, *padded)
    loaded = at = 0
    while True:
        operation, if_true, if_false, operand = code[at]
        at += 1
        match operation:
            case 0x20:
                (loaded,) = struct.unpack_from("<I", data, operand)
            case 0x06:
                return operand
            case 0x15 | 0x35 | 0x45:
                holds = {0x15: loaded == operand, 0x35: loaded >= operand, 0x45: loaded & operand != 0}
                at += if_true if holds[operation] else if_false
            case _:
                raise AssertionError(f"an unknown instruction {operation:#x}")


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_every_call_of_the_table_is_refused_and_ordinary_ones_are_not(machine: str, column: int) -> None:
    refused = {numbers[column] for numbers in _REFUSED.values()} - {None}
    special = {"x86_64": {56, 435, 135, 41, 16}, "aarch64": {220, 435, 92, 198, 29}}[machine]
    for number in range(480):
        if number not in special:
            assert verdict(machine, number) == (EPERM if number in refused else ALLOW), number


@pytest.mark.parametrize(("machine", "foreign"), [("x86_64", I386), ("x86_64", AARCH64), ("aarch64", ARM)])
def test_calls_of_another_abi_end_the_process(machine: str, foreign: int) -> None:
    assert verdict(machine, 1, abi=foreign) == KILL


def test_x32_numbers_are_unknown() -> None:
    assert verdict("x86_64", 0x40000000 | 250) == ENOSYS


@pytest.mark.parametrize(("machine", "clone", "clone3"), [("x86_64", 56, 435), ("aarch64", 220, 435)])
def test_processes_can_be_made_and_namespaces_cannot(machine: str, clone: int, clone3: int) -> None:
    fork, thread, new_user, new_net = 17, 0x3D0F00, 0x10000000, 0x40000000
    assert [verdict(machine, clone, flags) for flags in (fork, thread)] == [ALLOW, ALLOW]
    assert [verdict(machine, clone, flags | 17) for flags in (new_user, new_net)] == [EPERM, EPERM]
    assert verdict(machine, clone3) == ENOSYS


@pytest.mark.parametrize(
    ("numbers", "arguments", "expected"),
    [
        ((41, 198), (1, 1, 0), ALLOW),  # AF_UNIX
        ((41, 198), (2, 1, 0), ALLOW),  # AF_INET
        ((41, 198), (38, 5, 0), EPERM),  # AF_ALG
        ((41, 198), (40, 1, 0), EPERM),  # AF_VSOCK
        ((135, 92), (0xFFFFFFFF,), ALLOW),  # queries the current one
        ((135, 92), (0x40000,), EPERM),  # no address randomisation
        ((16, 29), (0, 0x5401, 0), ALLOW),  # TCGETS
        ((16, 29), (0, 0x5412, 0), EPERM),  # TIOCSTI
        ((16, 29), (0, 0x1_0000_5412, 0), EPERM),  # the kernel treats it the same
    ],
)
def test_some_calls_depend_on_their_arguments(
    numbers: tuple[int, int], arguments: tuple[int, ...], expected: int
) -> None:
    assert verdict("x86_64", numbers[0], *arguments) == expected
    assert verdict("aarch64", numbers[1], *arguments) == expected


def test_other_machines_have_no_filter() -> None:
    assert seccomp_filter("riscv64") is None


TRY = """import ctypes, errno, platform, sys
column = ("x86_64", "aarch64").index(platform.machine())
libc = ctypes.CDLL(None, use_errno=True)
for call in sys.argv[1:]:
    number = int(call.split("/")[column])
    ctypes.set_errno(0)
    libc.syscall(number, 0, None, 0, 0, 0, 0)
    print(errno.errorcode.get(ctypes.get_errno(), "allowed"))
"""


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.kinds("bubblewrap")
async def test_the_kernel_applies_it_and_programs_work(sbx: Sandbox) -> None:
    names = ("keyctl", "add_key", "request_key", "bpf", "perf_event_open", "io_uring_setup", "userfaultfd", "unshare")
    calls = " ".join("/".join(map(str, _REFUSED[name])) for name in names)
    result = await sbx.exec(f"python3 - {calls}", timeout=120, stdin=TRY.encode())
    assert result.stdout.split() == [b"EPERM"] * len(names), result.text()
    assert not (await sbx.exec("unshare -U true || unshare -n true", timeout=120)).ok
    threads = "import threading; t = threading.Thread(target=print, args=('ran',)); t.start(); t.join()"
    assert (await sbx.exec(f'python3 -c "{threads}" && git init -q /tmp/x && echo piped | cat', timeout=120)).ok


SESSION = """import ctypes, platform
number = {"x86_64": 250, "aarch64": 219}[platform.machine()]
print(ctypes.CDLL(None).syscall(number, 0, -3, 0))  # KEYCTL_GET_KEYRING_ID of the session keyring
"""


def test_each_sandbox_is_started_with_a_session_keyring_of_its_own() -> None:
    """Namespaces do not separate keyrings: a sandbox could read its user's keys."""

    def session() -> int:
        return int(subprocess.check_output([sys.executable, "-c", SESSION]))

    if session() < 0:
        pytest.skip("the kernel has no keyrings for us")
    with _KeyringThread() as thread:
        seen = [session(), *(thread.submit(session).result() for _ in range(2))]
    assert len(set(seen)) == 3
    assert session() == seen[0], "the caller keeps its own"
