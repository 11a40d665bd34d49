"""Read text files from people and other tools: UTF-8, or the encoding that a byte order mark announces."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_MARKS = (  # UTF-32 first: its little-endian mark starts with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(data: bytes, errors: str = "strict") -> str:
    """Decode a file's bytes and drop the byte order mark; line ends are kept.

    Args:
        data: the file's content.
        errors: error handler, as for `bytes.decode`.

    Raises:
        UnicodeDecodeError: the bytes do not match the encoding.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    return data.decode(encoding, errors)


def read_text(path: Path) -> str:
    """Read a text file; see `decode`.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: the bytes do not match the encoding.
    """
    return decode(path.read_bytes())


def json_lines(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield line number and value of each line in a JSONL file; a line that is not JSON yields its `ValueError`.

    Only LF ends a line, since other separators may occur inside a string. A file concatenated from others may have a
    byte order mark at the start of any line.

    Raises:
        UnicodeDecodeError: the file is not in the encoding that its UTF-16 or UTF-32 byte order mark announces.
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
