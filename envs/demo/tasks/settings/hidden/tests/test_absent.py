from settings.access import Settings
from settings.parser import parse

SETTINGS = Settings(parse("[a]\nalone\nempty =\nfull = x\n"))


def test_key_alone_gives_the_default():
    assert SETTINGS.get_text("a", "alone") == ""
    assert SETTINGS.get_text("a", "alone", "other") == "other"
    assert SETTINGS.get_number("a", "alone", 7) == 7


def test_empty_is_not_absent():
    assert SETTINGS.get_text("a", "empty", "other") == ""


def test_absent_key_and_section():
    assert SETTINGS.get_text("a", "no", "d") == "d"
    assert SETTINGS.get_text("b", "no", "d") == "d"
    assert SETTINGS.get_flag("b", "no") is False


def test_value():
    assert SETTINGS.get_text("a", "full", "other") == "x"
