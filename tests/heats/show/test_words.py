"""Figures are formatted alike everywhere, and commands are found in what models write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.llm.ledger import Usage
from envs.base import TestReport
from heats import formatting as say


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ('{"command": "ls -la"}', "ls -la"),
        ('{"command": "a \\"b\\" c\\nd', 'a "b" c\nd'),
        ('{"command": "cut in an escape \\', "cut in an escape "),
        ('{"command": "cut in a code \\u00', "cut in a code "),
        ('{"command": 5}', '{"command": 5}'),
        ('["ls"]', '["ls"]'),
        ("ls -la", "ls -la"),
        ("", ""),
    ],
)
def test_the_command_is_found_in_a_tool_call(arguments: str, command: str) -> None:
    assert say.command(arguments) == command


@given(st.text(st.sampled_from('{"command": \\u0a\n\x01nls}[]')))
def test_no_arguments_are_too_odd(arguments: str) -> None:
    assert isinstance(say.command(arguments), str)
    assert isinstance(say.command('{"command": "' + arguments), str)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (say.count(950), "950"),
        (say.count(12_345), "12.3 k"),
        (say.count(4_560_000), "4.56 M"),
        (say.count(999_600), "1 M"),
        (say.count(999_499), "999 k"),
        (say.count(1_234e9), "1230 G"),
        (say.percent(2 / 3), "66.7 %"),
        (say.percent(None), "–"),
        (say.money(0), "$0.00"),
        (say.money(0.0123), "$0.0123"),
        (say.money(1234.5), "$1,234.50"),
        (say.duration(4.24), "4.2 s"),
        (say.duration(200), "3 min 20 s"),
        (say.duration(7500), "2 h 05 min"),
        (say.clock(67), "1:07"),
        (say.clock(7424), "2:03:44"),
        (say.size(412), "412 B"),
        (say.size(51_000_000), "51.0 MB"),
        (say.several(1, "match", "matches"), "1 match"),
        (say.several(1200, "rollout"), "1,200 rollouts"),
        (say.ending(None), "no attempt could be made"),
        (say.short("heat-0/rollout-03"), "0/03"),
        (say.short("other"), "other"),
        (say.spent(Usage(calls=1, prompt_tokens=100, cached_tokens=50)), "1 call · 100 tokens, 50.0 % cached · $0.00"),
        (say.tests(None), "not run"),
        (say.tests(TestReport(command="x", status="timeout")), "timeout"),
        (say.tests(TestReport(command="x", status="failed", exit_code=2)), "failed: exit code 2"),
    ],
)
def test_figures_in_words(said: str, expected: str) -> None:
    assert said == expected


ROWS = st.lists(st.lists(st.text("abc 1", max_size=60), min_size=4, max_size=4), max_size=4)


@given(ROWS, st.integers(40, 160))
def test_a_table_never_leaves_the_terminal(rows: list[list[str]], width: int) -> None:
    lines = say.aligned([["task", "why", "tokens", "cost"], *rows], width, cut=(1, 0), drop=("tokens", "cost"))
    assert all(len(line) <= width or line.startswith("(not shown") for line in lines)


def test_what_a_table_left_out_is_said() -> None:
    lines = say.aligned([["task", "tokens"], ["a" * 30, "b" * 30]], 40, cut=(0,), drop=("tokens",))
    assert lines == ["task", "a" * 30, "(not shown: tokens)"]
