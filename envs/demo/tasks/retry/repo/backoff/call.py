"""Calling until it works."""

from backoff.schedule import delays


class GaveUp(Exception):
    """Every attempt failed; the last failure is the cause."""


def call(action, policy, sleep, retry_on=(Exception,)):
    """Call `action` until it does not raise."""
    waits = delays(policy)
    for wait in [*waits, None]:
        try:
            return action()
        except retry_on as error:
            if wait is None:
                raise GaveUp(f"after {len(waits) + 1} attempts") from error
            sleep(wait)
