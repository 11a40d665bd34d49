"""The waits of a policy."""


def delays(policy):
    """Return the seconds to wait between attempts: one less than there are attempts."""
    waits = []
    wait = policy.first
    for _ in range(policy.attempts - 1):
        waits.append(min(wait, policy.longest))
        wait *= policy.factor
    return waits


def total(policy):
    return sum(delays(policy))
