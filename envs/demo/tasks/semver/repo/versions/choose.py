"""Choosing between versions."""

from versions.version import Version


def newest(texts, allow_pre=True):
    """Return the newest of several versions; None when there is none."""
    versions = [Version(text) for text in texts]
    if not allow_pre:
        versions = [version for version in versions if not version.pre]
    return max(versions).text if versions else None


def needs_upgrade(installed, available):
    return Version(installed) < Version(available)


def compatible(left, right):
    """True for versions that promise the same interface."""
    first, second = Version(left), Version(right)
    if first.number[0] == 0:
        return first.number[:2] == second.number[:2]
    return first.number[0] == second.number[0]
