"""One real vLLM on the CPU for all tests marked `vllm`: a tiny model, started once by `heats serve`."""

import re
import time
import urllib.request

import pytest

from agents.llm.config import ModelConfig
from agents.llm.counters import read_counters
from agents.llm.ledger import Ledger
from agents.llm.openai_client import OpenAIModel
from benchmarks.tiny_vllm import CLOSES, NAME, never_submits, tiny_server
from sandbox.base import ExecResult

CHATS = re.compile(
    r'^http_requests_total\{handler="/v1/chat/completions",[^}]*status="(\dxx)"\} ([0-9.]+)', re.MULTILINE
)


class Tiny:
    """The server, its counters since the test began, and clients for it."""

    def __init__(self, base_url):
        self.base_url = base_url
        self.before = self._page()

    def _page(self):
        with urllib.request.urlopen(self.base_url.removesuffix("/v1") + "/metrics", timeout=10) as answer:
            return answer.read().decode()

    def counted(self):
        return read_counters(self._page()) - read_counters(self.before)

    def running(self):
        return read_counters(self._page()).running

    def chats(self, status):
        """Number of chat completion requests with this status; the server counts a request after answering it."""
        time.sleep(0.3)
        now, before = (dict(CHATS.findall(page)) for page in (self._page(), self.before))
        return int(float(now.get(status, 0)) - float(before.get(status, 0)))

    def never_submits(self):
        return never_submits(self.base_url)

    def config(self, **changes):
        settings = {"name": NAME, "base_url": self.base_url, "request_timeout_s": 60, "call_deadline_s": 120}
        return ModelConfig.model_validate({**settings, "extra_body": CLOSES, **changes})


@pytest.fixture(scope="session")
def tiny_url():
    with tiny_server() as base_url:
        yield base_url


@pytest.fixture
def tiny(tiny_url):
    return Tiny(tiny_url)


@pytest.fixture
async def model(tiny):
    """A client whose replies end, and that knows the server's context length."""
    client = OpenAIModel(tiny.config())
    await client.preflight()
    yield client
    await client.close()


@pytest.fixture
def ledger():
    return Ledger("test")


class EchoSandbox:
    """A sandbox in which every command prints the same text."""

    def __init__(self, output="ok\n"):
        self.output = output.encode()

    async def exec(self, command, **more):
        return ExecResult("exited", 0, self.output, stdout_total=len(self.output))


@pytest.fixture
def sandbox_class():
    return EchoSandbox
