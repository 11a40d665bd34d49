"""`--issue`: a file, standard input, or the text itself."""

import re
import sys
from pathlib import Path

from core.textfile import decode
from heats.errors import UsageError
from heats.store.files import there_is

_FILE_NAME = re.compile(r"\S*(/\S*|\.\w{1,8})")
"""A single word that can only be meant as a file name: a run on a mistyped one would waste money."""


def read_issue(issue: str) -> str:
    """The issue's text from a file, stdin or the argument itself.

    Raises:
        UsageError: it is empty, not text, or clearly the name of a file that is missing or unreadable.
    """
    if issue == "-":
        data = sys.stdin.buffer.read()
    else:
        try:
            data = Path(issue).read_bytes() if _FILE_NAME.fullmatch(issue) or there_is(issue) else issue.encode()
        except OSError as error:
            why = "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror).lower()
            told = f"{why}: give a file, the text of the issue, or - for stdin"
            raise UsageError(f"--issue {issue}: {told}") from None
    try:
        text = decode(data, "replace")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UsageError(f"--issue {issue}: not a text file")
    if not text.strip():
        raise UsageError("--issue is empty: give the text of the issue, a file, or - for stdin")
    return text
