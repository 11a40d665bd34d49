"""Requests to a model server over HTTP: what is sent, and that every malformed answer is an error."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents.errors import ModelConfigError
from agents.llm.base import History
from agents.llm.chat_http import BrokenReply, ChatHttp, ConnectError, StatusError
from agents.llm.config import ModelConfig
from agents.llm.server import Server


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[tuple[ChatHttp, list[bytes]]]:
    """A server that gives these answers in turn, a client for it, and what the server received."""
    left, seen, open_ends = list(answers), [], []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(b"connection")
        open_ends.append(writer)
        while left:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int((*head.lower().split(b"content-length: "), b"0")[1].split(b"\r\n")[0])
                seen.append(head + await reader.readexactly(size))
            except asyncio.IncompleteReadError:
                break
            answer = left.pop(0)
            writer.write(answer)
            if b"close" in answer or b"Length: 99" in answer:
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/"
    client = ChatHttp(base_url, {"Authorization": "Bearer key"}, proxies=False)
    yield client, seen
    await client.close()
    server.close()
    for end in open_ends:
        end.transport.abort()
    await asyncio.sleep(0.01)


def sized(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers))
    return f"{lines}\r\n\r\n".encode() + body


async def test_requests_share_a_connection_and_carry_the_key() -> None:
    async with answering(sized(b"one"), sized("zwölf".encode())) as (client, seen):
        assert await client.post("/chat/completions", {"a": "é"}) == "one"
        assert await client.post("/chat/completions", {}) == "zwölf"
    assert seen.count(b"connection") == 1
    assert seen[1].startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nAuthorization: Bearer key\r\n" in seen[1]
    assert seen[1].endswith('{"a":"é"}'.encode())


async def test_questions_beside_chat_go_over_the_same_connection() -> None:
    async with answering(sized(b"{}"), sized(b"{}"), sized(b'{"version": "0.20"}')) as (client, seen):
        server = Server(ModelConfig(name="m", base_url=client.base_url), "key")
        await server.chat({})
        assert await server.models() == {}
        assert await server.version() == "0.20"
        await server.close()
    assert seen.count(b"connection") == 1
    assert [request.split(b" HTTP")[0] for request in seen[2:]] == [b"GET /v1/models", b"GET /version"]
    assert all(b"\r\nAuthorization: Bearer key\r\n" in request for request in seen[2:])


async def test_questions_beside_chat_are_not_waited_for_longer_than_short_ones_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agents.llm.server._ASIDE_S", 0.02)
    async with answering(b"", b"", b"") as (client, _):
        server = Server(ModelConfig(name="m", base_url=client.base_url), "key")
        assert not await server.healthy()
        with pytest.raises(TimeoutError):
            await server.models()
        await server.close()


async def test_a_password_in_the_base_url_goes_in_place_of_the_key() -> None:
    async with answering(sized(b"one"), sized(b'{"version": "0.20"}')) as (client, seen):
        base_url = client.base_url.replace("http://", "http://us%40er:pass@")
        server = Server(ModelConfig(name="m", base_url=base_url), "key")
        assert await server.chat({}) == "one"
        assert await server.version() == "0.20"
        assert "pass" not in server.root + server.base_url
        await server.close()
    assert all(b"\r\nAuthorization: Basic dXNAZXI6cGFzcw==\r\n" in request for request in seen[1:])


@pytest.mark.parametrize(
    "base_url", ["localhost:8000/v1", "http:///v1", "http://localhost:abc/v1", "http://a:99999/v1"]
)
def test_a_base_url_that_names_no_server_is_an_error_at_once(base_url: str) -> None:
    with pytest.raises(ModelConfigError, match=f"--base-url {base_url}: "):
        Server(ModelConfig(name="m", base_url=base_url), "key")


async def test_a_proxy_is_asked_for_servers_elsewhere_and_netrc_is_not_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("default login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("no_proxy", "other.test")
    async with answering(sized(b"one"), sized(b"{}")) as (client, seen):
        place = client.base_url.removesuffix("/v1").replace("http://", "http://user:pass@")
        monkeypatch.setenv("http_proxy", place)
        server = Server(ModelConfig(name="m", base_url="http://model.test/v1"), "key")
        assert await server.chat({}) == "one"
        assert await server.models() == {}
        await server.close()
        assert ChatHttp("http://other.test:80/v1", {}, proxies=True)._proxy is None
    assert seen[1].startswith(b"POST http://model.test/v1/chat/completions ")
    assert seen[2].startswith(b"GET http://model.test/v1/models ")
    for line in (b"Proxy-Authorization: Basic dXNlcjpwYXNz", b"Authorization: Bearer key"):
        assert b"\r\n" + line + b"\r\n" in seen[1]


async def test_a_server_on_this_machine_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with answering(sized(b"{}")) as (client, _):
        server = Server(ModelConfig(name="m", base_url=client.base_url), "key")
        assert await server.models() == {}
        await server.close()


async def test_lone_surrogates_do_not_stop_a_request() -> None:
    async with answering(sized(b"one")) as (client, seen):
        assert await client.post("/x", {"a": "é \ud800\n"}) == "one"
    assert seen[1].endswith('{"a":"é ?\\n"}'.encode())


async def test_a_history_that_grows_is_sent_whole_each_time() -> None:
    history, sent = History(), []
    async with answering(*[sized(b"{}")] * 4) as (client, seen):
        for content in ("first", "a \ud800 b", 'é"\\\n', None):
            history.append({"role": "user", "content": content})
            sent.append({"model": "m", "messages": list(history), "seed": 1})
            await client.post("/chat/completions", {"model": "m", "messages": history, "seed": 1})
    received = [json.loads(request.split(b"\r\n\r\n", 1)[1]) for request in seen[1:]]
    assert received == json.loads(json.dumps(sent).replace("\\ud800", "?"))


async def test_headers_that_openais_own_client_takes_from_the_environment_go_with_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Team: red: one\nbroken\nAuthorization: Bearer other")
    async with answering(sized(b"one")) as (client, seen):
        server = Server(ModelConfig(name="m", base_url=client.base_url), "key")
        await server.chat({})
        await server.close()
    for line in (b"OpenAI-Organization: org", b"X-Team: red: one", b"Authorization: Bearer key"):
        assert b"\r\n" + line + b"\r\n" in seen[1]
    assert b"OpenAI-Project" not in seen[1]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\none\r\n0\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\none",
        b"HTTP/1.0 200 OK\r\nX: close\r\n\r\none",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length:3\r\n\r\none",
    ],
)
async def test_every_way_to_say_where_an_answer_ends(answer: bytes) -> None:
    async with answering(answer, sized(b"two")) as (client, _):
        assert await client.post("/x", {}) == "one"
        assert await client.post("/x", {}) == "two"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1 close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz close\r\n",
        b"HTTP/1.1 ok close\r\n\r\n",
        b"SSH-2.0 close\r\n\r\n",
        b"close",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999 close\r\n\r\n",
    ],
)
async def test_half_answers_and_other_protocols_are_failed_connections(answer: bytes) -> None:
    async with answering(answer) as (client, _):
        with pytest.raises(BrokenReply):
            await client.post("/x", {})


async def test_a_refusal_has_its_status_body_and_headers() -> None:
    body = b'{"error": {"message": "slow down", "code": 7}}'
    async with answering(sized(body, "429 Too Many", "Retry-After: 3")) as (client, _):
        with pytest.raises(StatusError, match="slow down") as caught:
            await client.post("/x", {})
    error = caught.value
    assert (error.status, error.body) == (429, {"message": "slow down", "code": 7})
    assert error.headers.get("retry-after") == "3"


async def test_a_redirect_is_followed_with_the_whole_request() -> None:
    async with answering(sized(b"", "307 There", "Location: /v2/x"), sized(b"here")) as (client, seen):
        assert await client.post("/x", {"a": 1}) == "here"
    assert seen[-1].startswith(b"POST /v2/x ")
    assert seen[-1].endswith(b'{"a":1}')


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirected_question_is_asked_there_and_the_key_stays_at_home(status: int) -> None:
    async with answering(sized(b"here")) as (elsewhere, seen_elsewhere):
        moved = sized(b"", f"{status} There", "Location: /v2/x"), sized(b"home")
        away = sized(b"", f"{status} There", f"Location: {elsewhere.base_url}/x")
        async with answering(*moved, away) as (client, seen):
            assert await client.ask("GET", f"{client.base_url}/x") == "home"
            assert await client.ask("GET", f"{client.base_url}/x") == "here"
    assert seen[2].startswith(b"GET /v2/x ")
    assert b"\r\nAuthorization: Bearer key\r\n" in seen[2]
    assert b"Authorization" not in seen_elsewhere[1]


async def test_a_compressed_answer_is_read() -> None:
    async with answering(sized(gzip.compress(b"small"), "200 OK", "Content-Encoding: gzip")) as (client, _):
        assert await client.post("/x", {}) == "small"


async def test_a_server_that_is_not_there_was_sent_nothing() -> None:
    async with answering() as (client, _):
        pass
    with pytest.raises(ConnectError, match=r"^Connection refused$"):
        await client.post("/x", {})
    await client.close()


async def test_what_keeps_a_client_from_a_server_is_said() -> None:
    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(no_tls, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for scheme, host, reason in [
        ("https", "127.0.0.1", "no TLS at this address: "),
        ("http", "no-such-host.invalid", "not known|resol"),
    ]:
        client = ChatHttp(f"{scheme}://{host}:{port}/v1", {}, proxies=False)
        with pytest.raises(ConnectError, match=reason) as raised:
            await client.post("/x", {})
        assert host not in str(raised.value)
        await client.close()
    server.close()


async def test_a_request_that_is_given_up_leaves_no_answer_to_the_next_one() -> None:
    async with answering(sized(b"late"), sized(b"second")) as (client, seen):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await client.post("/x", {"number": 1})
        await client.post("/x", {"number": 2})
    assert seen[-1].endswith(b'{"number":2}')


async def test_a_token_that_a_router_hands_out_comes_back_in_the_sessions_next_request() -> None:
    token = sized(b"{}", "200 OK", "X-Session-Token: cG9k")
    async with answering(token, token, token) as (client, seen):
        server = Server(ModelConfig(name="m", base_url=client.base_url, session="llm-d"), "key")
        for session in ("s1", "s1", "s2"):
            await server.chat({}, session)
        await server.close()
    heads = [head.lower() for head in seen if head != b"connection"]
    assert [b"x-session-token: cg9k" in head for head in heads] == [False, True, False]
