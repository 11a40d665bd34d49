"""Markdown from untrusted text: it can be read, and has no other effect.

Dynamic text goes into code spans or fences, where Markdown has no links, images, mentions, references, HTML or
comments. Source: CommonMark 0.31, sections 4.5 and 6.1.
"""

import re

from core.sanitize import excerpt, for_screen, one_line


def code(text: str, limit: int = 300) -> str:
    """Text as one code span on one line; a dash if it is empty."""
    line = one_line(text, limit)
    if not line:
        return "\u2013"
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def fence(text: str, language: str = "text", limit: int = 4000) -> str:
    """Text as a fenced block, with a fence longer than any in the text.

    Args:
        text: the text.
        language: info string of the fence.
        limit: approximate maximum number of characters; longer text is cut in the middle.
    """
    body = excerpt(text, limit).strip("\n")
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", body)), default=0))
    return f"{ticks}{language}\n{for_screen(body)}\n{ticks}"
