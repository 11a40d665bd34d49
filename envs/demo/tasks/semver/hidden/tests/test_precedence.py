from versions.choose import needs_upgrade, newest
from versions.version import Version

ORDER = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
         "1.0.0-rc.1", "1.0.0", "1.0.1-a", "1.0.1"]


def test_the_order_of_the_specification():
    versions = [Version(text) for text in ORDER]
    assert sorted(reversed(versions)) == versions


def test_every_pair():
    for low, left in enumerate(ORDER):
        for high, right in enumerate(ORDER):
            expected = (low > high) - (low < high)
            assert Version(left).compare(Version(right)) == expected


def test_release_to_beta_is_no_upgrade():
    assert needs_upgrade("1.0.0-rc.1", "1.0.0")
    assert not needs_upgrade("1.0.0", "1.0.0-rc.1")
    assert newest([]) is None
