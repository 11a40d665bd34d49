"""The shop's one file, and git on the command line, for tests."""

import subprocess
from pathlib import Path

BUG, FIX = "def total(prices, discount):\n    return sum(prices) * (100 + discount) / 100\n", "100 - discount"


def git(repo: Path, *arguments: str) -> str:
    """Run git and return what it prints."""
    done = subprocess.run(["git", "-C", str(repo), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
