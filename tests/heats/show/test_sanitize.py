"""What an agent prints cannot act on a terminal, hide from a reader or command a CI runner."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heats.show.sanitize import ci_lines, clean, cut, from_bytes, one_line

FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)
HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x9b\x9d\x90\x07\x9c\\[]0;m\r\n:#\u202e\u200b\ufeff\ud800\U000e0041\u2028 "),
    )
)

CORPUS = {
    "red": ("\x1b[31mred\x1b[0m", "red"),
    "8-bit csi": ("\x9b31mred\x9b0m", "red"),
    "title, ended by bell": ("\x1b]0;owned\x07ok", "ok"),
    "title, ended by st": ("\x1b]2;owned\x1b\\ok", "ok"),
    "hyperlink": ("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click"),
    "clipboard": ("\x1b]52;c;ZXZpbA==\x07x", "x"),
    "dcs": ("a\x1bP1$r0m\x1b\\b", "ab"),
    "osc without end keeps text": ("\x1b]0;text\nnext", "0;text\nnext"),
    "clear screen": ("\x1b[2J\x1b[Hclean", "clean"),
    "alternate screen": ("\x1b[?1049hx", "x"),
    "reset": ("\x1bcx", "x"),
    "charset": ("\x1b(0x", "x"),
    "nested introducers": ("\x1b\x1b[31m[31mx", "[31mx"),
    "carriage return overwrites": ("good\rbad", "good\nbad"),
    "crlf": ("a\r\nb", "a\nb"),
    "nul and backspace": ("a\x00b\x08", "a\ufffdb\ufffd"),
    "bidi override": ("user\u202e\u2066txt.exe\u2069", "usertxt.exe"),
    "zero width": ("pass\u200bword\ufeff", "password"),
    "tags": ("hi\U000e0049\U000e0067", "hi"),
    "variation selectors": ("hi\U000e0100\ufe0f", "hi"),
    "lone surrogate": ("a\ud800b", "a\ufffdb"),
    "line separator": ("a\u2028b", "a\nb"),
    "kept": ("t\u00e4b\tand\nnewline \u65e5\u672c \U0001f600", "t\u00e4b\tand\nnewline \u65e5\u672c \U0001f600"),
}


@pytest.mark.parametrize("case", CORPUS)
def test_corpus(case: str) -> None:
    dirty, expected = CORPUS[case]
    assert clean(dirty) == expected


@given(HOSTILE)
def test_nothing_that_acts_is_left_and_cleaning_twice_changes_nothing(text: str) -> None:
    once = clean(text)
    assert not FORBIDDEN.search(once)
    assert clean(once) == once
    once.encode()


@given(HOSTILE)
def test_plain_text_is_left_as_it_is(text: str) -> None:
    plain = "".join(character for character in text if character.isascii() and character.isprintable())
    assert clean(plain) == plain


@given(HOSTILE)
def test_no_ci_line_is_a_command(text: str) -> None:
    safe = ci_lines(text)
    assert ci_lines(safe) == safe
    assert "##[" not in safe
    assert not any(line.strip().startswith("::") for line in safe.splitlines())


@pytest.mark.parametrize(
    "line",
    ["::error::x", "  ::add-mask::x", "\u00a0::set-output name=a::b", "\x1b[0m::debug::x", "a\r::stop-commands::t",
     "##[group]x", "text ##[error]x", "##vso[task.setvariable variable=a]b", "##teamcity[x]", "###[x]"],
)  # fmt: skip
def test_ci_commands_are_disarmed(line: str) -> None:
    safe = ci_lines(line)
    assert not any(part.lstrip().startswith("::") for part in safe.split("\n"))
    assert not re.search(r"##\w*\[", safe)


@given(HOSTILE, st.integers(1, 50))
def test_one_line_is_one_line_and_no_longer_than_asked(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert "\n" not in line
    assert len(line) <= limit


def test_a_cut_is_stated_and_keeps_both_ends() -> None:
    text = cut("start" + "x" * 1000 + "end", 100)
    assert text.startswith("start")
    assert text.endswith("end")
    assert "909 characters cut" in text.replace(",", "")


def test_bytes_that_are_no_text_become_text() -> None:
    assert from_bytes(b"\xff\xfeok\x1b[1m") == "\ufffd\ufffdok"


@pytest.mark.parametrize("unit", ["\x1b]", "\x9d", "\x1b[", "\x1b[0", "\x1bP;", "::\n", "\x1b(", "##"])
def test_cleaning_takes_linear_time(unit: str) -> None:
    started = time.process_time()
    ci_lines(unit * 200_000)
    assert time.process_time() - started < 2
