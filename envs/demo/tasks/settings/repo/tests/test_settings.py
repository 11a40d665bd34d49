import pytest

from settings.access import Settings
from settings.parser import SettingsError, parse

TEXT = """
name = 'demo'   # quoted
[server]
port = 80
debug
verbose = off
"""


@pytest.fixture
def settings():
    return Settings(parse(TEXT))


def test_sections(settings):
    assert set(settings.sections) == {"", "server"}


def test_text(settings):
    assert settings.get_text("", "name") == "demo"


def test_number(settings):
    assert settings.get_number("server", "port") == 80


def test_flag_that_is_off(settings):
    assert settings.get_flag("server", "verbose") is False


def test_a_key_alone_is_a_flag_that_is_on(settings):
    assert settings.get_flag("server", "debug") is True


def test_bad_line():
    with pytest.raises(SettingsError) as caught:
        parse("ok = 1\n[broken")
    assert caught.value.number == 2
