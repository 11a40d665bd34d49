"""`heats serve --replicas`: ports and cards of each server, one that dies is started again, all end together."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from test_serve import STUB

from heats.errors import UsageError
from heats.serving.replicas import Replica, replicas_of, router_command, taking_turns
from heats.serving.server import Wanted


@pytest.fixture(autouse=True)
def all_gpus(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_every_replica_has_a_port_and_cards_of_its_own():
    replicas = replicas_of(Wanted(model="m", tensor_parallel=2), 2, ["4", "5", "6", "7"], routed=False)
    assert [one.wanted.port for one in replicas] == [8000, 8001]
    assert [one.environment for one in replicas] == [{"CUDA_VISIBLE_DEVICES": "4,5"}, {"CUDA_VISIBLE_DEVICES": "6,7"}]


def test_without_gpus_named_those_that_this_process_may_use_are_taken(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 5")
    assert [one.gpus for one in replicas_of(Wanted(model="m"), 2, [], routed=False)] == [("4",), ("5",)]
    with pytest.raises(UsageError, match="need 3 GPUs, CUDA_VISIBLE_DEVICES names 2"):
        replicas_of(Wanted(model="m"), 3, [], routed=False)
    assert [one.gpus for one in replicas_of(Wanted(model="m"), 2, ["0", "1"], routed=False)] == [("0",), ("1",)]


def test_a_router_takes_the_port_and_knows_all_servers():
    wanted = Wanted(model="m")
    replicas = replicas_of(wanted, 2, [], routed=True)
    command = router_command("vllm-router", wanted, replicas)
    assert command[:4] == ["vllm-router", "--worker-urls", "http://127.0.0.1:8001", "http://127.0.0.1:8002"]
    assert command[-2:] == ["--port", "8000"]


def test_too_few_cards_are_an_error_and_a_shared_one_is_not():
    with pytest.raises(UsageError, match="need 2 GPUs, --gpus names 1"):
        replicas_of(Wanted(model="m"), 2, ["0"], routed=False)
    assert [one.gpus for one in replicas_of(Wanted(model="m"), 2, ["0", "0"], routed=False)] == [("0",), ("0",)]


def test_servers_on_a_cpu_are_given_no_cards_and_share_the_memory():
    replicas = replicas_of(Wanted(model="m", on_cpu=True), 2, [], routed=False)
    assert replicas == tuple(Replica(one.wanted) for one in replicas)
    assert [one.wanted.side_by_side for one in replicas] == [2, 2]


def test_two_models_on_one_gpu_have_sleep_mode_and_parsers_of_their_own():
    first, second = taking_turns(Wanted(model="Qwen/Qwen3-32B"), "openai/gpt-oss-20b", ["3"])
    assert [one.wanted.port for one in (first, second)] == [8000, 8001]
    assert first.environment == second.environment == {"CUDA_VISIBLE_DEVICES": "3", "VLLM_SERVER_DEV_MODE": "1"}
    assert all("--enable-sleep-mode" in one.wanted.arguments() for one in (first, second))
    assert [one.wanted.tool_parser for one in (first, second)] == ["hermes", "openai"]


def test_two_models_on_a_cpu_are_refused_since_vllm_cannot_sleep_there():
    with pytest.raises(UsageError, match="cannot sleep"):
        taking_turns(Wanted(model="m", on_cpu=True), "other", [])


SLEEPING_STUB = STUB.replace(
    "    def do_GET(self):\n",
    """    def note(self, word):
        with open(os.environ["STUB_PID"] + ".log", "a") as file:
            file.write(word + "\\n")

    def do_POST(self):
        PAGES["/is_sleeping"] = json.dumps({"is_sleeping": self.path.startswith("/sleep")})
        self.note(self.path)
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
""",
).replace('"/health": "",', '"/health": "", "/is_sleeping": json.dumps({"is_sleeping": False}),')


class Serve:
    """`heats serve --replicas 2` with a stub for vLLM that leaves its process id beside its port."""

    def __init__(self, directory, port, *more, several=("--replicas", "2", "--no-router"), source=STUB):
        self.directory, stub = directory, directory / "vllm"
        keep = 'os.environ["STUB_PID"] + sys.argv[sys.argv.index("--port") + 1]'
        stub.write_text(source.replace('os.environ["STUB_PID"]', keep))
        stub.chmod(0o755)
        command = [sys.executable, "-c", "from heats.cli import main; main()", "serve", "small", "--vllm", str(stub)]
        command += ["--tool-parser", "hermes", *several, "--port", str(port), *more]
        environment = {**os.environ, "STUB_PID": f"{directory}/pid-"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment, **pipes)

    def line(self, begins):
        return next(line for line in self.process.stdout if line.startswith(begins))

    def pid(self, port):
        return int((self.directory / f"pid-{port}").read_text())


def lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def free_port():
    """A port that is free, as is the next one."""
    for port in range(23000 + os.getpid() % 5000, 32000, 2):
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


@pytest.mark.slow
def test_a_replica_that_dies_is_started_again_and_a_signal_ends_all(tmp_path, free_port):
    port = free_port
    serve = Serve(tmp_path, port)
    assert f"--base-url http://127.0.0.1:{port}/v1 --base-url http://127.0.0.1:{port + 1}/v1" in serve.line("use")
    first, second = serve.pid(port), serve.pid(port + 1)
    os.kill(second, signal.SIGKILL)
    assert any("answers again" in line for line in serve.process.stderr)
    assert serve.pid(port + 1) != second and lives(first)
    serve.process.send_signal(signal.SIGTERM)
    serve.process.communicate(timeout=30)
    assert serve.process.returncode == 128 + signal.SIGTERM
    deadline = time.monotonic() + 10
    while (lives(first) or lives(serve.pid(port + 1))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lives(first) and not lives(serve.pid(port + 1))


@pytest.mark.slow
def test_a_replica_that_never_starts_ends_all_with_one_line(tmp_path, free_port):
    serve = Serve(tmp_path, free_port, "--", "--fail")
    _, told = serve.process.communicate(timeout=60)
    assert serve.process.returncode not in (0, None)
    assert "ended with code 1" in told


@pytest.mark.slow
def test_of_two_models_each_loads_while_the_other_sleeps(tmp_path, free_port):
    port = free_port
    serve = Serve(tmp_path, port, several=("--second", "other"), source=SLEEPING_STUB)
    use = serve.line("use")
    assert "-c model.gpu=shared" in use and f"-c judge_model.base_url=http://127.0.0.1:{port + 1}/v1" in use
    logs = [tmp_path / f"pid-{one}.log" for one in (port, port + 1)]
    assert [log.read_text().split() for log in logs] == [["/sleep?level=1"], ["/sleep?level=1"]]
    first = serve.pid(port)
    os.kill(first, signal.SIGKILL)
    assert any("answers again" in line for line in serve.process.stderr)
    assert serve.pid(port) != first
    serve.process.send_signal(signal.SIGTERM)
    serve.process.communicate(timeout=30)
    assert serve.process.returncode == 128 + signal.SIGTERM
