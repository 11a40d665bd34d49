"""Read the JSON documents in a file: a whole `.json`, each line of a `.jsonl`, each sample of inspect_ai's `.eval`."""

import json
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from core.registry import optional_module
from core.textfile import decode, json_lines

WHOLE = (".json", ".traj", ".pred")
SUFFIXES = (*WHOLE, ".jsonl", ".eval")
MODEL = "_model"
"""Key that carries the model named in the header of an `.eval` file into each of its samples."""
_ZSTD = 93
_LARGEST_SAMPLE = 512 << 20


def documents(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield each document with its location; a document that cannot be read is yielded as its `ValueError`.

    Raises:
        OSError: the file cannot be read.
        ExtraMissing: the library for its compression is not installed.
    """
    if path.suffix == ".eval":
        yield from _samples(path)
    elif path.suffix == ".jsonl":
        try:
            yield from ((f"{path}:{number}", value) for number, value in json_lines(path.read_bytes()))
        except UnicodeDecodeError as error:
            yield str(path), ValueError(f"not text ({error})")
    else:
        try:
            yield str(path), json.loads(decode(path.read_bytes()))
        except (ValueError, RecursionError) as error:
            yield str(path), ValueError(f"not JSON ({error})")


def _samples(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as raw:
            model = _model(archive, raw)
            for member in archive.infolist():
                if member.filename.startswith("samples/") and member.filename.endswith(".json"):
                    yield f"{path}:{Path(member.filename).stem}", _sample(archive, raw, member, model)
    except zipfile.BadZipFile as error:
        yield str(path), ValueError(f"not an .eval log ({error})")


def _sample(archive: zipfile.ZipFile, raw: BinaryIO, member: zipfile.ZipInfo, model: str) -> Any:
    try:
        sample = json.loads(_content(archive, raw, member))
    except (ValueError, RecursionError, zipfile.BadZipFile, EOFError) as error:
        return ValueError(f"not JSON ({error})")
    return {**sample, MODEL: model} if isinstance(sample, dict) else sample


def _model(archive: zipfile.ZipFile, raw: BinaryIO) -> str:
    for name in ("header.json", "_journal/start.json"):
        try:
            return str(json.loads(_content(archive, raw, archive.getinfo(name)))["eval"]["model"])
        except (KeyError, ValueError, TypeError, RecursionError, zipfile.BadZipFile):
            continue
    return ""


def _content(archive: zipfile.ZipFile, raw: BinaryIO, member: zipfile.ZipInfo) -> bytes:
    """A member's bytes. inspect_ai compresses with Zstandard, which Python's zipfile supports from 3.14 on."""
    if member.file_size > _LARGEST_SAMPLE:
        raise ValueError(f"{member.file_size >> 20} MiB is too large for one sample")
    if member.compress_type != _ZSTD:
        with archive.open(member) as file:
            return file.read(_LARGEST_SAMPLE)
    zstandard = optional_module("zstandard", "an .eval log compressed with Zstandard")
    raw.seek(member.header_offset)
    name_length, extra_length = struct.unpack("<HH", raw.read(30)[26:30])
    raw.seek(name_length + extra_length, 1)
    try:
        with zstandard.ZstdDecompressor().stream_reader(raw.read(member.compress_size)) as reader:
            return bytes(reader.read(_LARGEST_SAMPLE))
    except zstandard.ZstdError as error:
        raise ValueError(f"damaged: {error}") from None
