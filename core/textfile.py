"""Text files that people and other tools wrote: UTF-8, or what a byte order mark at the start says."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_MARKS = (  # UTF-32 first: its little-endian mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(data: bytes, errors: str = "strict") -> str:
    """Text from a file's bytes, without its byte order mark; line ends stay as they are.

    Args:
        errors: as `bytes.decode` takes it.

    Raises:
        UnicodeDecodeError: the bytes are no such text.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    return data.decode(encoding, errors)


def read_text(path: Path) -> str:
    """A text file's content; see `decode`.

    Raises:
        OSError, UnicodeDecodeError
    """
    return decode(path.read_bytes())


def json_lines(data: bytes) -> Iterator[tuple[int, Any]]:
    """The values of a JSONL file with their line numbers; a line that is not JSON yields its `ValueError`.

    Only LF ends a line, because other separators may stand inside a string. A file that was joined from others may
    hold a byte order mark at the start of any line.

    Raises:
        UnicodeDecodeError: the file is not the UTF-16 or UTF-32 that its byte order mark announces.
    """
    lines = (decode(data).encode() if data.startswith(_WIDE) else data).split(b"\n")
    for number, line in enumerate(lines, start=1):
        line = line.removeprefix(codecs.BOM_UTF8)
        if not line.strip():
            continue
        try:
            yield number, json.loads(decode(line))
        except (ValueError, RecursionError) as error:
            yield number, ValueError(f"line {number} is not JSON ({error})")
