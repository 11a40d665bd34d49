"""Frames, records and the bounded memory of output, without a sandbox."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.channel import Capture, RecordScanner
from sandbox.transport import FrameDecoder

NONCE = "0123456789abcdef0123456789abcdef"
RECORD = b"\x1e" + NONCE.encode() + b" ended 0 0 0 0\x1e"


def chunks(data: bytes, sizes: list[int]) -> list[bytes]:
    """Split data into pieces of the given sizes, repeatedly."""
    pieces, at = [], 0
    while at < len(data):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[at : at + size])
        at += size
    return pieces


def frame(stream: int, payload: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


def scanned(pieces: list[bytes]) -> tuple[bytes, list[list[str]]]:
    scanner, output, records = RecordScanner(NONCE), b"", []
    for piece in pieces:
        for item in scanner.feed(piece):
            if isinstance(item, bytes):
                output += item
            else:
                records.append(item)
    return output + scanner.rest(), records


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40))),
    st.lists(st.integers(1, 30), min_size=1, max_size=5),
)
def test_frames_survive_any_cut(frames: list[tuple[int, bytes]], sizes: list[int]) -> None:
    decoder, seen = FrameDecoder(), {1: b"", 2: b""}
    for piece in chunks(b"".join(frame(*one) for one in frames), sizes):
        for stream, payload in decoder.feed(piece):
            seen[stream] += payload
    for number in (1, 2):
        assert seen[number] == b"".join(payload for stream, payload in frames if stream == number)


@given(st.binary(max_size=200), st.binary(max_size=200), st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_a_record_is_found_at_any_chunk_border(before: bytes, after: bytes, sizes: list[int]) -> None:
    assert scanned(chunks(before + RECORD + after, sizes)) == (before + after, [["ended", "0", "0", "0", "0"]])


def test_output_that_looks_like_the_start_of_a_record_is_kept() -> None:
    assert scanned([b"a\x1e0123", b"4567z", b"\x1e"]) == (b"a\x1e01234567z\x1e", [])


def test_a_record_with_another_nonce_is_output() -> None:
    forged = RECORD.replace(b"0123", b"ffff")
    assert scanned([forged]) == (forged, [])


def test_a_record_that_does_not_end_is_an_error() -> None:
    scanner = RecordScanner(NONCE)
    with pytest.raises(ValueError, match="does not end"):
        list(scanner.feed(RECORD[:-1] + b"x" * 1000))


@given(st.lists(st.binary(max_size=50), max_size=30), st.integers(1, 64))
def test_a_capture_keeps_head_and_tail_and_counts_all(parts: list[bytes], limit: int) -> None:
    capture, whole = Capture(limit), b"".join(parts)
    for part in parts:
        capture.add(part)
    assert capture.total == len(whole)
    if len(whole) <= limit:
        assert capture.value() == whole
        return
    head, tail = limit - limit // 2, limit // 2
    cut = b"\n[... %d bytes cut ...]\n" % (len(whole) - limit)
    assert capture.value() == whole[:head] + cut + whole[len(whole) - tail :]


def test_a_capture_does_not_grow_with_the_output() -> None:
    capture = Capture(1000)
    for _ in range(5000):
        capture.add(b"x" * 10_000)
    assert capture.total == 50_000_000
    assert len(capture._tail) < 100_000
