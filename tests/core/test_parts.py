"""Parts found by name, their options, and ids."""

import pytest

from core.errors import ExtraMissing, InvalidOptions, UnknownPart
from core.ids import RolloutId
from core.record import Config
from core.registry import NoOptions, Registry, optional_module, read_options

SHAPES = Registry("shape", {"fraction": "fractions:Fraction", "odd": "no_such_module:X"}, also=("dice:...",))


class Dice:
    """A part with its own settings."""

    class Options(Config):
        sides: int = 6


def test_a_short_name_and_a_path_find_the_same_part():
    assert SHAPES.find("fraction") is SHAPES.find("fractions:Fraction")
    assert SHAPES.find("fractions:Fraction.limit_denominator")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "fractoin",
            r"unknown shape 'fractoin' \(did you mean fraction\?\); known: fraction, odd, dice:\.\.\., or your own mod",
        ),
        ("odd", "shape 'odd' cannot be loaded: No module named 'no_such_module'"),
        ("fractions:Nothing", "cannot be loaded: module 'fractions' has no attribute 'Nothing'"),
        (":x", "unknown shape"),
        ("x:", "unknown shape"),
    ],
)
def test_a_part_that_cannot_be_found_says_what_there_is(name, told):
    with pytest.raises(UnknownPart, match=told):
        SHAPES.find(name)


def test_a_library_that_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ExtraMissing, match=r"--executor ray needs ray: pip install 'heats\[ray\]'"):
        optional_module("ray", "--executor ray")
    with pytest.raises(ExtraMissing, match=r"shape 'ray:init' needs ray: pip install 'heats\[ray\]'"):
        SHAPES.find("ray:init")


def test_options_are_read_by_the_part_that_declares_them():
    assert read_options(Dice, {"sides": 20}, "game.options") == Dice.Options(sides=20)
    assert read_options(object, {}, "game.options") == NoOptions()


@pytest.mark.parametrize(
    ("part", "given", "told"),
    [
        (Dice, {"sids": 2}, "unknown option game.options.sids; known: sides"),
        (Dice, {"sides": "x"}, "game.options.sides: Input should be a valid integer"),
        (object, {"sides": 2}, "unknown option game.options.sides; it takes no options"),
    ],
)
def test_options_that_do_not_fit_are_refused_by_name(part, given, told):
    with pytest.raises(InvalidOptions, match=told):
        read_options(part, given, "game.options")


def test_a_rollout_id_reads_what_it_writes():
    assert str(RolloutId(1, 3)) == "heat-1/rollout-03"
    assert RolloutId.parse("heat-12/rollout-103") == RolloutId(12, 103)
    assert RolloutId(0, 3).short == "0/03"
    for text in ("heat-0", "heat-x/rollout-00", "0/00", "heat-0/rollout-00/x"):
        with pytest.raises(ValueError, match="not a rollout id"):
            RolloutId.parse(text)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("class Own(:\n", "SyntaxError"),
        ("1 / 0\n", "ZeroDivisionError: division by zero ("),
    ],
)
def test_a_mistake_in_the_users_own_module_is_told_as_such(tmp_path, monkeypatch, source, message):
    """It was once an internal error of heats, to be reported."""
    (tmp_path / "mine_broken.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownPart, match="shape 'mine_broken:Own' cannot be loaded: ") as found:
        Registry("shape", {}).find("mine_broken:Own")
    assert message in str(found.value) and "mine_broken.py" in str(found.value)
