"""The proxy to allowed hosts, with real sockets: what it forwards, and what it refuses."""

import asyncio

import pytest

from sandbox.egress import SOCKET, AllowedHosts, EgressProxy

HERE = {"a.test": "127.0.0.1", "x.b.test": "127.0.0.1", "other.test": "127.0.0.1"}


@pytest.mark.parametrize(
    ("entries", "yes", "no"),
    [
        (["a.org"], ["a.org", "A.ORG."], ["b.a.org", "xa.org", "a.org.evil.com", ""]),
        (["*.a.org"], ["b.a.org", "c.b.a.org"], ["a.org", "xa.org", ".a.org.com"]),
        (["192.0.2.1"], ["192.0.2.1"], ["192.0.2.2", "a.org"]),
        (["192.0.2.0/24", "2001:db8::/32"], ["192.0.2.7", "[2001:db8::5]"], ["192.0.3.1", "2001:db9::1"]),
        ([], [], ["a.org", "127.0.0.1"]),
    ],
)
def test_hosts_match_exactly_below_a_wildcard_or_in_a_range(entries, yes, no):
    allowed = AllowedHosts.of(entries)
    assert [host for host in yes if not allowed.allow(host)] == []
    assert [host for host in no if allowed.allow(host)] == []


@pytest.fixture
async def server():
    """The port of a server that answers with what it was sent."""

    async def answer(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + head)
        await writer.drain()
        writer.close()

    serving = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield serving.sockets[0].getsockname()[1]
    serving.close()


@pytest.fixture
async def proxy(tmp_path):
    opened = EgressProxy(AllowedHosts.of(["a.test", "*.b.test", "localhost"]), HERE)
    await opened.open(tmp_path)
    yield opened
    await opened.close()


async def said(tmp_path, *parts):
    """Everything the proxy answers to these parts, each sent after something has come back."""
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / SOCKET))
    answer = b""
    for part in parts:
        writer.write(part)
        answer += await asyncio.wait_for(reader.read(1 << 16), 10)
    while more := await asyncio.wait_for(reader.read(1 << 16), 10):
        answer += more
    writer.close()
    return answer.decode()


async def test_a_tunnel_to_an_allowed_host_carries_bytes_both_ways(tmp_path, proxy, server):
    answer = await said(tmp_path, f"CONNECT x.b.test:{server} HTTP/1.1\r\n\r\n".encode(), b"GET / HTTP/1.1\r\n\r\n")
    assert answer.startswith("HTTP/1.1 200 Connection established") and answer.endswith("GET / HTTP/1.1\r\n\r\n")


async def test_a_plain_request_is_sent_on_without_what_is_meant_for_the_proxy(tmp_path, proxy, server):
    head = f"GET http://a.test:{server}/x?y=1 HTTP/1.1\r\nHost: a.test\r\nProxy-Authorization: Basic eA==\r\n\r\n"
    answer = await said(tmp_path, head.encode())
    assert "GET /x?y=1 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n" in answer
    assert "Proxy" not in answer


@pytest.mark.parametrize(
    ("request_line", "status", "why"),
    [
        ("CONNECT other.test:{} HTTP/1.1", "403", "other.test is not one of the hosts"),
        ("CONNECT 127.0.0.1:{} HTTP/1.1", "403", "not one of the hosts"),
        ("GET http://a.test@other.test:{}/ HTTP/1.1", "403", "other.test is not one of the hosts"),
        ("CONNECT localhost:{} HTTP/1.1", "403", "localhost has no public address"),
        ("CONNECT a.test:1 HTTP/1.1", "502", "cannot be reached"),
        ("GET / HTTP/1.1", "400", "expected CONNECT"),
        ("GET https://a.test/ HTTP/1.1", "400", "use CONNECT"),
        ("CONNECT a.test:port HTTP/1.1", "400", "not valid"),
        ("nonsense", "400", "expected CONNECT"),
    ],
)
async def test_everything_else_is_refused_with_the_reason(tmp_path, proxy, server, request_line, status, why):
    answer = await said(tmp_path, (request_line.format(server) + "\r\n\r\n").encode())
    assert answer.startswith(f"HTTP/1.1 {status} ") and why in answer


async def test_another_list_counts_from_then_on_and_closing_ends_open_tunnels(tmp_path, proxy, server):
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / SOCKET))
    writer.write(f"CONNECT a.test:{server} HTTP/1.1\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    proxy.allowed = AllowedHosts.of(["other.test"])
    assert "403" in await said(tmp_path, f"CONNECT a.test:{server} HTTP/1.1\r\n\r\n".encode())
    await proxy.close()
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_a_request_without_end_is_cut_off(tmp_path, proxy):
    assert (await said(tmp_path, b"GET http://a.test/" + b"x" * 100_000)).startswith("HTTP/1.1 431 ")
