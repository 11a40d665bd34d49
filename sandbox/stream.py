"""Reading the channel's output: Docker's frames, our records, and a bounded memory of the rest."""

from collections.abc import Iterator

from sandbox.supervisor import RECORD_SEPARATOR

_FRAME_HEADER = 8
_MAX_RECORD = 512


class FrameDecoder:
    """Splits the attach stream of the Docker Engine: 1 byte stream, 3 zero bytes, 4 bytes length, payload."""

    def __init__(self) -> None:
        self._header = b""
        self._stream = 0
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (stream, payload part) for whatever `data` completes; stream is 1 or 2."""
        at = 0
        while at < len(data):
            if self._left:
                part = data[at : at + self._left]
                at += len(part)
                self._left -= len(part)
                yield self._stream, part
                continue
            need = _FRAME_HEADER - len(self._header)
            self._header += data[at : at + need]
            at += need
            if len(self._header) == _FRAME_HEADER:
                self._stream = self._header[0]
                self._left = int.from_bytes(self._header[4:], "big")
                self._header = b""


class Capture:
    """Keeps the first and the last half of `limit` bytes, and counts them all."""

    def __init__(self, limit: int) -> None:
        self.total = 0
        self._head_room = limit - limit // 2
        self._tail_room = limit // 2
        self._head = bytearray()
        self._tail = bytearray()

    def add(self, data: bytes) -> None:
        """Take more output."""
        self.total += len(data)
        room = self._head_room - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail += data[-self._tail_room :] if self._tail_room else b""
            if len(self._tail) > 2 * self._tail_room + 65536:
                del self._tail[: -self._tail_room]

    def value(self) -> bytes:
        """What was kept; where something was cut, a line in between says how much."""
        cut = self.total - self._head_room - self._tail_room
        if cut <= 0:
            return bytes(self._head + self._tail)
        tail = self._tail[-self._tail_room :] if self._tail_room else b""
        return bytes(self._head) + b"\n[... %d bytes cut ...]\n" % cut + bytes(tail)


class RecordScanner:
    """Tells our records from the output around them, across chunk borders."""

    def __init__(self, nonce: str) -> None:
        self._marker = RECORD_SEPARATOR + nonce.encode() + b" "
        self._held = b""

    def feed(self, data: bytes) -> Iterator[bytes | list[str]]:
        """Yield output as bytes and records as lists of words, in order.

        The end of a chunk is held back while it could still be the start of a record.
        """
        data = self._held + data if self._held else data
        self._held = b""
        at = 0
        while (start := data.find(self._marker, at)) >= 0:
            end = data.find(RECORD_SEPARATOR, start + len(self._marker))
            if end < 0 and len(data) - start < _MAX_RECORD:
                break
            if end < 0 or end - start > _MAX_RECORD:
                raise ValueError("a record on the channel does not end")
            if start > at:
                yield data[at:start]
            yield data[start + len(self._marker) : end].decode("ascii", "replace").split()
            at = end + 1
        keep = start if start >= 0 else self._possible_start(data, at)
        if keep > at:
            yield data[at:keep]
        self._held = data[keep:]

    def rest(self) -> bytes:
        """Held-back bytes that turned out to be output."""
        held, self._held = self._held, b""
        return held

    def _possible_start(self, data: bytes, at: int) -> int:
        tail = max(at, len(data) - len(self._marker) + 1)
        start = data.find(RECORD_SEPARATOR, tail)
        while start >= 0:
            if self._marker.startswith(data[start:]):
                return start
            start = data.find(RECORD_SEPARATOR, start + 1)
        return len(data)
