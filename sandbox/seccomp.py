"""System call filter for bubblewrap sandboxes.

Compiles a classic BPF program, as expected by `bwrap --seccomp`, with 8 bytes per instruction. It refuses the calls
that Docker's default profile refuses to a container without capabilities, where an unprivileged process could gain
anything from them, and allows all others. Calls of a foreign ABI (32-bit, x32) are refused entirely, since their
numbers mean something else.

Sources: seccomp(2); moby's seccomp/default.json; the kernel's system call tables.
"""

import errno
import struct
from collections.abc import Iterable
from typing import Literal

Action = Literal["allow", "refuse", "unknown", "kill"]

_ACTIONS: dict[Action, int] = {
    "allow": 0x7FFF0000,
    "refuse": 0x00050000 | errno.EPERM,
    "unknown": 0x00050000 | errno.ENOSYS,
    "kill": 0x80000000,
}
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""ABI identifiers (AUDIT_ARCH_*) by machine."""
_X32 = 0x40000000
"""Bit set in the system call numbers of x86-64's x32 ABI."""

_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # kernel keyrings, which no namespace separates
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # large kernel subsystems that programs under test do not need
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    # other processes
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    # namespaces and mounts, which let a process gain privileges
    "setns": (308, 268),
    "unshare": (272, 97),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "open_by_handle_at": (304, 265),
    # memory placement
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "get_mempolicy": (239, 236),
    "set_mempolicy_home_node": (450, 450),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # machine-wide; each of these also needs a capability
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "init_module": (175, 105),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "nfsservctl": (180, 42),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    # calls that only old kernels have
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
    "create_module": (174, None),
    "get_kernel_syms": (177, None),
    "query_module": (178, None),
}
"""Name -> number on x86-64 and on aarch64; None if the call does not exist."""

_CLONE, _CLONE3, _PERSONALITY, _SOCKET, _IOCTL = (56, 220), (435, 435), (135, 92), (41, 198), (16, 29)
_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
_AF_ALG, _AF_VSOCK = 38, 40
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Offsets in `struct seccomp_data`."""

_Instruction = tuple[int, int, int, int]
"""Code, instructions to skip if true, instructions to skip if false, operand."""


def seccomp_filter(machine: str) -> bytes | None:
    """Compile the filter for a machine, named as by `uname -m`; None if the machine is not supported."""
    if machine not in _ARCHITECTURES:
        return None
    column = list(_ARCHITECTURES).index(machine)
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        _end("kill"),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        program += [(_AT_LEAST, 0, 1, _X32), _end("unknown")]
    for numbers in _REFUSED.values():
        program += _on(numbers[column], [_end("refuse")])
    # Without clone3, the C library falls back to `clone`, whose flags a filter can inspect.
    program += _on(_CLONE3[column], [_end("unknown")])
    program += _on(_CLONE[column], _argument(0, _ANY_BIT, [_NEW_NAMESPACES], "refuse", "allow"))
    program += _on(_PERSONALITY[column], _argument(0, _EQUAL, _PERSONALITIES, "allow", "refuse"))
    program += _on(_SOCKET[column], _argument(0, _EQUAL, [_AF_ALG, _AF_VSOCK], "refuse", "allow"))
    program += _on(_IOCTL[column], _argument(1, _EQUAL, [_TIOCSTI, _TIOCLINUX], "refuse", "allow"))
    program.append(_end("allow"))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _end(action: Action) -> _Instruction:
    return (_RETURN, 0, 0, _ACTIONS[action])


def _on(number: int | None, then: list[_Instruction]) -> list[_Instruction]:
    """Instructions for one system call; `then` must end the program."""
    return [] if number is None else [(_EQUAL, 0, len(then), number), *then]


def _argument(index: int, test: int, values: Iterable[int], if_one: Action, if_none: Action) -> list[_Instruction]:
    """Choose the action by whether the low 32 bits of an argument match any of the values."""
    tests = [instruction for value in values for instruction in ((test, 0, 1, value), _end(if_one))]
    return [(_LOAD, 0, 0, _ARGUMENTS + 8 * index), *tests, _end(if_none)]
