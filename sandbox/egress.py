"""A way out to a list of hosts for a sandbox without network: an HTTP proxy on the host, reached through a socket.

Programs in the sandbox use it if they honor `HTTP_PROXY` and `HTTPS_PROXY`. There is no other way out: the sandbox
has no interface but its loopback. Names are looked up on the host, and only public addresses are connected to.
"""

import asyncio
import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

PORT = 38128
"""Port of the forwarder on the sandbox's loopback interface."""
SOCKET = "egress.sock"
ENVIRONMENT: Mapping[str, str] = {
    name: value
    for pair in (
        ("http_proxy", f"http://127.0.0.1:{PORT}"),
        ("https_proxy", f"http://127.0.0.1:{PORT}"),
        ("no_proxy", "localhost,127.0.0.1,::1"),
    )
    for name, value in ((pair[0], pair[1]), (pair[0].upper(), pair[1]))
}
"""Variables that make programs in the sandbox use the proxy."""

_HEAD_BYTES, _HEAD_S, _CONNECT_S, _CHUNK = 65536, 30.0, 30.0, 65536
_MOST_AT_ONCE = 256
_OURS = ("connection", "proxy-connection", "proxy-authorization", "keep-alive")


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Hosts that may be reached.

    Attributes:
        exact: host names, in lower case.
        suffixes: `.example.com` for every host below example.com, at any depth, but not example.com itself.
        networks: addresses and ranges, for requests that name an address.
    """

    exact: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def of(cls, entries: Sequence[str]) -> "AllowedHosts":
        """Sort entries such as `example.com`, `*.example.com`, `192.0.2.1` and `192.0.2.0/24` by kind."""
        exact, suffixes, networks = set[str](), list[str](), list[IPv4Network | IPv6Network]()
        for entry in map(_plain, entries):
            if entry.startswith("*."):
                suffixes.append(entry[1:])
                continue
            try:
                networks.append(ip_network(entry))
            except ValueError:
                exact.add(entry)
        return cls(frozenset(exact), tuple(suffixes), tuple(networks))

    def allow(self, host: str) -> bool:
        """Whether a request may name this host."""
        host = _plain(host)
        try:
            address = ip_address(host)
        except ValueError:
            return host in self.exact or host.endswith(self.suffixes)
        return any(address in network for network in self.networks)


class Refused(Exception):
    """A request is not forwarded; the message says why, and `status` is the answer's."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class EgressProxy:
    """The proxy of one sandbox.

    Args:
        allowed: the hosts; may be replaced while the proxy runs.
        addresses: addresses of host names by name, in place of a look-up; these may be private.
    """

    def __init__(self, allowed: AllowedHosts, addresses: Mapping[str, str] | None = None) -> None:
        self.allowed = allowed
        self._addresses = {_plain(name): address for name, address in (addresses or {}).items()}
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def open(self, folder: Path) -> None:
        """Listen on the socket `egress.sock` in a folder.

        Raises:
            OSError: it cannot be made.
        """
        path = folder / SOCKET
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._connected, str(path), limit=_HEAD_BYTES)
        path.chmod(0o666)

    async def close(self) -> None:
        """Stop listening and end all connections."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._serving) >= _MOST_AT_ONCE:
            writer.close()
            return
        self._serving.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # either side hung up, or the sandbox is being closed
        finally:
            self._serving.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await _head(reader)
            host, port, first = _request(head)
            if not self.allowed.allow(host):
                raise Refused("403 Forbidden", f"{host} is not one of the hosts that the task may reach")
            there, back = await self._connect(host, port)
        except Refused as refused:
            text = f"heats: {refused}\n".encode("utf-8", "replace")
            lines = f"HTTP/1.1 {refused.status}\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
            writer.write(f"{lines}Connection: close\r\n\r\n".encode() + text)
            await writer.drain()
            return
        try:
            if first:
                back.write(first)
            else:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        finally:
            back.close()

    async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = await self._address(_plain(host), port)
        try:
            async with asyncio.timeout(_CONNECT_S):
                return await asyncio.open_connection(address, port)
        except (OSError, TimeoutError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise Refused("502 Bad Gateway", f"{host}:{port} cannot be reached: {why}") from None

    async def _address(self, host: str, port: int) -> str:
        """The address to connect to. It is looked up once, so that no second answer can lead elsewhere."""
        if host in self._addresses:
            return self._addresses[host]
        try:
            async with asyncio.timeout(_CONNECT_S):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError):
            raise Refused("502 Bad Gateway", f"{host} is not known here") from None
        addresses = [str(entry[4][0]) for entry in found]
        public = [one for one in addresses if ip_address(one).is_global]
        if not public:
            raise Refused(
                "403 Forbidden",
                f"{host} has no public address ({', '.join(dict.fromkeys(addresses))}); the person who runs heats can "
                "allow it with the option host_addresses",
            )
        return public[0]


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(_HEAD_S):
            return await reader.readuntil(b"\r\n\r\n")
    except TimeoutError:
        raise Refused("408 Request Timeout", "the request took too long") from None
    except asyncio.LimitOverrunError:
        raise Refused("431 Request Header Fields Too Large", "the request's head is too long") from None


def _request(head: bytes) -> tuple[str, int, bytes]:
    """Host and port of a request, and what to send there first: nothing for a tunnel, else the request itself."""
    line, *headers = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, _, rest = line.partition(" ")
    target, _, version = rest.rpartition(" ")
    try:
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        port = parts.port
    except ValueError:
        raise Refused("400 Bad Request", "the request's address is not valid") from None
    host = parts.hostname
    if not host or not version.startswith("HTTP/1."):
        raise Refused("400 Bad Request", "this is an HTTP proxy: expected CONNECT host:port or an http:// address")
    if method == "CONNECT":
        return host, port or 443, b""
    if parts.scheme != "http":
        raise Refused("400 Bad Request", f"cannot forward {parts.scheme or 'this'}: use CONNECT")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kept = [one for one in headers if one.partition(":")[0].strip().lower() not in _OURS]
    text = "\r\n".join([f"{method} {path} {version}", *kept, "Connection: close", "", ""])
    return host, port or 80, text.encode("latin-1")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


def _plain(host: str) -> str:
    return host.strip().strip("[]").rstrip(".").lower()
