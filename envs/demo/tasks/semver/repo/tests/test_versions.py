import pytest

from versions.choose import compatible, needs_upgrade, newest
from versions.version import Version


def test_numbers_are_compared_as_numbers():
    assert Version("1.10.0") > Version("1.9.3")


def test_a_release_is_newer_than_its_beta():
    assert newest(["1.0.0-beta.1", "1.0.0"]) == "1.0.0"


def test_beta_numbers():
    assert Version("1.0.0-beta.11") > Version("1.0.0-beta.2")


def test_build_data_does_not_count():
    assert Version("1.0.0+a") == Version("1.0.0+b")


def test_without_pre_releases():
    assert newest(["1.0.0", "2.0.0-rc.1"], allow_pre=False) == "1.0.0"


def test_compatible():
    assert compatible("1.2.3", "1.9.0")
    assert not compatible("0.1.0", "0.2.0")


def test_upgrade():
    assert needs_upgrade("1.0.0", "1.0.1")


def test_junk():
    with pytest.raises(ValueError):
        Version("one")
