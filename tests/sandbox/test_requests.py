"""How commands are encoded for the supervisor, and what is refused before it is sent."""

import subprocess

import pytest

from sandbox.supervisor import INLINE_BYTES, Request, supervisor_script

NONCE = "ab" * 16


def test_a_short_command_is_sent_as_lines() -> None:
    head, *lines = Request(NONCE, b"echo a\necho b", "/w").encode().split(b"\n")
    assert head.split() == [b"run", NONCE.encode(), b"1", b"2", b"0", b"0", b"0"]
    assert lines == [b"cd -- /w || exit 126", b"echo a", b"echo b", b""]


def test_a_long_command_and_input_are_sent_by_length() -> None:
    command = b"#" * (INLINE_BYTES + 1)
    sent = Request(NONCE, command, "/w", stdin=b"\0\n", merge_stderr=True).encode()
    assert sent.startswith(f"run {NONCE} 1 1 {len(command)} 2 1\n".encode())
    assert sent.endswith(b"\n\n" + command + b"\0\n")


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "_h_sid", "A\n", "UID"])
def test_an_environment_name_that_no_shell_takes_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="environment variable name"):
        Request(NONCE, b"true", "/", {name: "x"}).encode()


def test_a_value_with_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        Request(NONCE, b"true", "/", {"A": "x\0y"}).encode()


@pytest.mark.parametrize("value", ["plain", "a'b\"c$d`e\\", "two\nlines\n", "*", "-n", "", "é\udcff"])
def test_values_and_directories_cannot_break_out_of_their_quotes(value: str) -> None:
    setup = Request(NONCE, b"true", "/", {"A": value}).setup()
    script = setup + b'\nprintf %s "$A"'
    assert subprocess.run(["sh", "-c", script], capture_output=True).stdout == value.encode("utf-8", "surrogateescape")


def test_the_supervisor_keeps_its_names_apart_and_parses_in_a_posix_shell() -> None:
    program = supervisor_script("/run/x", crowd=9)
    checked = subprocess.run(["sh", "-n"], input=program.encode(), capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, b"")
    assigned = {word.split("=")[0] for word in program.split() if "=" in word and word[0].isalpha()}
    ours = {name for name in assigned if name.startswith("_h_")}
    assert assigned - ours <= {"bs", "count", "iflag", "IFS", "PATH"}
