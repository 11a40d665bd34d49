"""A program of a few instructions that starts a command.

The image's `setsid` is a dynamic executable, and loading one takes a third of the time of a whole command; this one
needs no library. It moves descriptor 3 to 2, offers itself as the first to be ended when memory is short (an
`oom_score_adj` of 500), makes a session, becomes the program it is given, and ends with 126 where one of the last two
is refused. Without a program it ends with 0, which shows that it runs here.

An executable (System V ABI, ELF-64) of one read-only segment is put together below; `tests/sandbox/test_launcher.py`
runs it.
"""

import platform
import struct
from pathlib import Path

LAUNCHER = "launcher"

_X86_64 = (
    "bf 03 00 00 00"  # mov   edi, 3
    "be 02 00 00 00"  # mov   esi, 2
    "b8 21 00 00 00"  # mov   eax, 33             dup2
    "0f 05"  #          syscall
    "bf 03 00 00 00"  # mov   edi, 3
    "b8 03 00 00 00"  # mov   eax, 3              close
    "0f 05"  #          syscall
    "48 8d 3d 62 00 00 00"  # lea rdi, [rip+98]   the path below
    "be 01 00 00 00"  # mov   esi, 1              write only
    "b8 02 00 00 00"  # mov   eax, 2              open
    "0f 05"  #          syscall
    "89 c7"  #          mov   edi, eax
    "48 8d 35 4a 00 00 00"  # lea rsi, [rip+74]   the score below
    "ba 03 00 00 00"  # mov   edx, 3
    "b8 01 00 00 00"  # mov   eax, 1              write
    "0f 05"  #          syscall
    "b8 03 00 00 00"  # mov   eax, 3              close
    "0f 05"  #          syscall
    "b8 70 00 00 00"  # mov   eax, 112            setsid
    "0f 05"  #          syscall
    "85 c0"  #          test  eax, eax
    "78 20"  #          js    fail
    "48 8b 0c 24"  #    mov   rcx, [rsp]          the number of words
    "31 ff"  #          xor   edi, edi
    "ff c9"  #          dec   ecx
    "74 1b"  #          jz    end
    "48 8b 7c 24 10"  # mov   rdi, [rsp+16]       the second word
    "48 8d 74 24 10"  # lea   rsi, [rsp+16]       the words from the second on
    "48 8d 54 cc 18"  # lea   rdx, [rsp+rcx*8+24] the environment
    "b8 3b 00 00 00"  # mov   eax, 59             execve
    "0f 05"  #          syscall
    "bf 7e 00 00 00"  # fail: mov edi, 126
    "b8 3c 00 00 00"  # end:  mov eax, 60         exit
    "0f 05"  #          syscall
)
_AARCH64 = (
    "60 00 80 d2"  # mov  x0, 3
    "41 00 80 d2"  # mov  x1, 2
    "02 00 80 d2"  # mov  x2, 0
    "08 03 80 d2"  # mov  x8, 24         dup3
    "01 00 00 d4"  # svc  0
    "60 00 80 d2"  # mov  x0, 3
    "28 07 80 d2"  # mov  x8, 57         close
    "01 00 00 d4"  # svc  0
    "60 0c 80 92"  # mov  x0, -100
    "81 03 00 70"  # adr  x1, path
    "22 00 80 d2"  # mov  x2, 1          write only
    "08 07 80 d2"  # mov  x8, 56         openat
    "01 00 00 d4"  # svc  0
    "ea 03 00 aa"  # mov  x10, x0
    "e1 02 00 10"  # adr  x1, score
    "62 00 80 d2"  # mov  x2, 3
    "08 08 80 d2"  # mov  x8, 64         write
    "01 00 00 d4"  # svc  0
    "e0 03 0a aa"  # mov  x0, x10
    "28 07 80 d2"  # mov  x8, 57         close
    "01 00 00 d4"  # svc  0
    "a8 13 80 d2"  # mov  x8, 157        setsid
    "01 00 00 d4"  # svc  0
    "60 01 f8 b7"  # tbnz x0, 63, fail
    "e9 03 40 f9"  # ldr  x9, [sp]       the number of words
    "29 05 00 f1"  # subs x9, x9, 1
    "00 00 80 d2"  # mov  x0, 0
    "00 01 00 54"  # b.eq end
    "e1 43 00 91"  # add  x1, sp, 16     the words from the second on
    "22 0c 09 8b"  # add  x2, x1, x9, lsl 3
    "42 20 00 91"  # add  x2, x2, 8      the environment
    "e0 0b 40 f9"  # ldr  x0, [sp, 16]   the second word
    "a8 1b 80 d2"  # mov  x8, 221        execve
    "01 00 00 d4"  # svc  0
    "c0 0f 80 d2"  # fail: mov x0, 126
    "a8 0b 80 d2"  # end:  mov x8, 93    exit
    "01 00 00 d4"  # svc  0
)
_SCORE_AND_PATH = b"500/proc/self/oom_score_adj\0"
_CODE = {"x86_64": (62, _X86_64), "aarch64": (183, _AARCH64)}
"""By machine: its number in ELF, and the instructions."""

_BASE = 0x400000
_ALIGN = 0x10000
_HEADERS = 64 + 2 * 56
_EXECUTABLE, _LOAD, _STACK = 2, 1, 0x6474E551
_READ_WRITE, _READ_EXECUTE = 6, 5


def launcher(machine: str) -> bytes | None:
    """The executable for this kind of machine (as `uname -m` names it); None where there is none."""
    if machine not in _CODE:
        return None
    number, text = _CODE[machine]
    code = bytes.fromhex(text) + _SCORE_AND_PATH
    size = _HEADERS + len(code)
    start = _BASE + _HEADERS
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head = struct.pack("<16sHHIQQQIHHHHHH", ident, _EXECUTABLE, number, 1, start, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", _LOAD, _READ_EXECUTE, 0, _BASE, _BASE, size, size, _ALIGN)
    # Without this header older kernels make all memory executable, for the program that comes next, too.
    stack = struct.pack("<IIQQQQQQ", _STACK, _READ_WRITE, 0, 0, 0, 0, 0, 16)
    return head + load + stack + code


def place_launcher(folder: Path) -> None:
    """Put the executable for this machine into a folder that a sandbox sees, if there is one for it.

    Raises:
        OSError: it cannot be written.
    """
    program = launcher(platform.machine())
    if program is not None:
        path = folder / LAUNCHER
        path.write_bytes(program)
        path.chmod(0o555)
