import pytest

from layout.table import definition
from layout.wrap import wrap

TEXT = "the quick brown fox jumps over the lazy dog and runs away from a very angry bear"


@pytest.mark.parametrize("width", range(6, 40))
def test_no_line_is_too_long(width):
    lines = wrap(TEXT, width)
    assert all(len(line) <= width for line in lines)
    assert " ".join(lines) == TEXT


@pytest.mark.parametrize("width", range(6, 40))
def test_lines_are_as_full_as_can_be(width):
    lines = wrap(TEXT, width)
    for line, following in zip(lines, lines[1:]):
        assert len(line) + 1 + len(following.split()[0]) > width


def test_long_word_stands_alone():
    assert wrap("a loooooong b", 4) == ["a", "loooooong", "b"]


def test_definition():
    assert definition("cat", "an animal that purrs", 14) == "cat: an animal\n     that\n     purrs"
