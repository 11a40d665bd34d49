"""No text can act on a terminal, hide from a reader, or imitate the structure of a chat."""

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.sanitize import ci_lines, for_model, for_model_counted, for_screen, one_line, screen_text

HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x9b\x9d\x90\x07\x9c\\[]0;m\r\n:#<|>/sthinkINT\u202e\u200b\ufeff\ud800\U000e0041\u2028 "),
    )
)
HIDDEN = {"Cc", "Cf", "Cs", "Co"}

SCREEN = {
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
    "private use": ("a\ue000\U000f0000b", "a\ufffd\ufffdb"),
    "line separator": ("a\u2028b", "a\nb"),
    "kept": ("t\u00e4b\tand\nnewline \u65e5\u672c \U0001f600", "t\u00e4b\tand\nnewline \u65e5\u672c \U0001f600"),
}
MODEL = {
    "colours vanish": ("\x1b[31mred\x9b0m", "red"),
    "zero width is shown": ("pass\u200bword", "pass\\u200bword"),
    "direction is shown": ("a\u202eb", "a\\u202eb"),
    "tags are shown": ("\U000e0041", "\\U000e0041"),
    "private use is shown": ("\ue000", "\\ue000"),
    "a lone surrogate is shown": ("\ud800", "\\ud800"),
    "nul is shown": ("a\0", "a\\u0000"),
    "line ends": ("a\r\nb\rc\u2028", "a\nb\nc\\u2028"),
    "qwen": ("<|im_start|>system", "<\\|im_start|>system"),
    "deepseek": (
        "<\uff5cUser\uff5c><\uff5ctool\u2581calls\u2581begin\uff5c>",
        "<\\\uff5cUser\uff5c><\\\uff5ctool\u2581calls\u2581begin\uff5c>",
    ),
    "bar on one side": ("<|turn>user<turn|>", "<\\|turn>user<\\turn|>"),
    "think": ("<think>a</think>", "<\\think>a<\\/think>"),
    "tool call": ("<tool_call>{}</tool_call>", "<\\tool_call>{}<\\/tool_call>"),
    "function": ("<function=bash><parameter=command>ls", "<\\function=bash><\\parameter=command>ls"),
    "invoke": ('<invoke name="bash"></invoke>', '<\\invoke name="bash"><\\/invoke>'),
    "prefix of a vendor": ("<seed:tool_call>", "<\\seed:tool_call>"),
    "roles": ("<assistant><system></user>", "<\\assistant><\\system><\\/user>"),
    "gemma": ("<start_of_turn>model<end_of_turn>", "<\\start_of_turn>model<\\end_of_turn>"),
    "mistral": ("[INST][/INST][TOOL_CONTENT][SYSTEM_PROMPT]", "[\\INST][\\/INST][\\TOOL_CONTENT][\\SYSTEM_PROMPT]"),
    "llama 2": ("<<SYS>>x<</SYS>>", "<\\<SYS>>x<\\</SYS>>"),
    "ends of sequences": ("<s></s><eos>", "<\\s><\\/s><\\eos>"),
    "minimax": ("]~!b[]~b]ai[e~[", "]\\~!b[]\\~b]ai[\\e~["),
}


@pytest.mark.parametrize("case", SCREEN)
def test_screens_show_nothing_that_acts_or_hides(case: str) -> None:
    dirty, expected = SCREEN[case]
    assert for_screen(dirty) == expected


@pytest.mark.parametrize("case", MODEL)
def test_models_see_what_hides_and_no_chat_marker(case: str) -> None:
    dirty, expected = MODEL[case]
    assert for_model(dirty) == expected


@pytest.mark.parametrize("clean", [for_model, for_screen, ci_lines])
@given(text=HOSTILE)
def test_nothing_hidden_is_left_and_twice_is_once(clean, text) -> None:
    once = clean(text)
    assert not {unicodedata.category(char) for char in once if char not in "\n\t"} & HIDDEN
    assert clean(once) == once
    once.encode()


@pytest.mark.parametrize("clean", [for_model, for_screen])
@given(text=HOSTILE)
def test_plain_text_stays_as_it_is(clean, text) -> None:
    plain = "".join(character for character in text if character.isalnum() or character in " .,;:()\t\n")
    assert clean(plain) == plain


@pytest.mark.parametrize(
    "text",
    [
        *("if a < b and c > d:", "a < b | c > d", "x <| y", "xs |> map", "x = [1, 2]", "List[int]", "a[INSTALL]"),
        *(
            "<b>",
            "<div id='x'>",
            "vector<int> v;",
            "fn f<S>(x: S)",
            "Array<User>",
            "\tx\n",
            "Gr\u00fc\u00dfe \u4f60 \U0001f600",
        ),
    ],
)
def test_ordinary_code_is_shown_to_models_as_it_is(text) -> None:
    assert for_model(text) == text


def test_broken_markers_are_counted() -> None:
    assert for_model_counted("<think>\u200b</think>")[1] == 2


@given(HOSTILE)
def test_no_ci_line_is_a_command(text: str) -> None:
    safe = ci_lines(text)
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


def test_bytes_that_are_no_text_become_text() -> None:
    assert screen_text(b"\xff\xfeok\x1b[1m") == "\ufffd\ufffdok"


@pytest.mark.parametrize("clean", [for_model, ci_lines])
@pytest.mark.parametrize(
    "unit",
    ["\x1b]", "\x9d", "\x1b[", "\x1b[0", "\x1bP;", "::\n", "\x1b(", "##", "<", "<|", "<a:", "<s ", "[", "<think "],
)
def test_cleaning_takes_linear_time(clean, unit: str) -> None:
    started = time.process_time()
    clean(unit * 200_000)
    assert time.process_time() - started < 4
