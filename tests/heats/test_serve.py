"""`heats serve`: the command line for a model, and vLLM as a child process: waiting, reporting, stopping."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time

import pytest

from heats.errors import PreflightFailed
from heats.serving import cpu
from heats.serving.families import FAMILIES, family_of
from heats.serving.server import Wanted, Words, find_vllm

STUB = f"""#!{sys.executable}
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

PAGES = {{
    "/health": "",
    "/version": json.dumps({{"version": "0.32.0"}}),
    "/v1/models": json.dumps({{"data": [{{"id": "small", "max_model_len": 4096}}]}}),
    "/metrics": 'vllm:cache_config_info{{block_size="16",num_gpu_blocks="512"}} 1.0\\n',
}}

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path in PAGES else 404)
        self.end_headers()
        self.wfile.write(PAGES.get(self.path, "").encode())

if "--fail" in sys.argv:
    sys.exit("out of memory")
with open(os.environ["STUB_PID"], "w") as file:
    file.write(str(os.getpid()))
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


@pytest.mark.parametrize(
    ("model", "tools", "reasoning"),
    [
        ("Qwen/Qwen2.5-Coder-32B-Instruct", "hermes", ""),
        ("Qwen/Qwen3-32B", "hermes", "qwen3"),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", "hermes", ""),
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct", "qwen3_coder", ""),
        ("Qwen/Qwen3-Coder-Next", "qwen3_coder", ""),
        ("zai-org/GLM-4.6", "glm45", "glm45"),
        ("zai-org/GLM-4.7", "glm47", "glm45"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama3_json", ""),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "llama4_pythonic", ""),
        ("deepseek-ai/DeepSeek-V3.1", "deepseek_v31", "deepseek_v3"),
        ("deepseek-ai/DeepSeek-V3.2-Exp", "deepseek_v32", "deepseek_v3"),
        ("deepseek-ai/DeepSeek-V3-0324", "deepseek_v3", ""),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek_v3", "deepseek_r1"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", "", "deepseek_r1"),
        ("mistralai/Devstral-Small-2507", "mistral", ""),
        ("openai/gpt-oss-120b", "openai", "openai_gptoss"),
        ("moonshotai/Kimi-K2-Instruct-0905", "kimi_k2", ""),
        ("moonshotai/Kimi-K2-Thinking", "kimi_k2", "kimi_k2"),
        ("MiniMaxAI/MiniMax-M2", "minimax_m2", "minimax_m2"),
    ],
)
def test_a_model_is_read_by_the_parsers_of_its_family(model, tools, reasoning):
    wanted = Wanted(model=model)
    assert (wanted.tool_parser, wanted.reasoning_parser) == (tools, reasoning)


def test_a_directory_is_known_by_what_its_configuration_says(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3_moe"}))
    assert family_of(str(tmp_path)).name == "Qwen3"
    assert family_of(str(tmp_path / "nowhere")) is None


def test_every_family_has_a_name_of_its_own():
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_the_command_has_what_agents_need_and_ends_with_what_the_user_adds():
    wanted = Wanted(model="Qwen/Qwen3-8B", context=65536, tensor_parallel=2, extra=("--max-num-seqs", "32"))
    line = shlex.join(wanted.arguments())
    assert line.startswith("serve Qwen/Qwen3-8B --host 127.0.0.1 --port 8000")
    for part in (
        "--enable-auto-tool-choice --tool-call-parser hermes",
        "--reasoning-parser qwen3",
        "--enable-prefix-caching --enable-prompt-tokens-details",
        "--max-model-len 65536",
        "--tensor-parallel-size 2",
    ):
        assert part in line
    assert line.endswith("--max-num-seqs 32") and "--data-parallel-size" not in line


def test_parsers_can_be_named_or_left_out():
    wanted = Wanted(model="Qwen/Qwen3-8B", tools="none", reasoning="deepseek_r1")
    assert (wanted.tool_parser, wanted.reasoning_parser) == ("", "deepseek_r1")
    assert wanted.solve_flags()[-1] == "model.text_protocol=true"


def test_a_missing_vllm_is_one_line_that_says_what_to_install():
    with pytest.raises(PreflightFailed, match=r"heats\[vllm\]"):
        find_vllm("/nowhere/vllm")


class Serve:
    """`heats serve` with a stub for vLLM."""

    def __init__(self, directory, *more):
        stub = directory / "vllm"
        stub.write_text(STUB)
        stub.chmod(0o755)
        self.pid_file = directory / "pid"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-c", "from heats.cli import main; main()", "serve", "small", "--vllm", str(stub)]
        command += ["--tool-parser", "hermes", "--port", str(self.port), *more]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env={**os.environ, "STUB_PID": str(self.pid_file)}, **pipes)

    def stub_lives(self):
        try:
            os.kill(int(self.pid_file.read_text()), 0)
        except ProcessLookupError:
            return False
        return True

    def gone_within(self, seconds):
        deadline = time.monotonic() + seconds
        while self.stub_lives() and time.monotonic() < deadline:
            time.sleep(0.05)
        return not self.stub_lives()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_tells_what_the_server_can_do_and_ends_it_on_a_signal(tmp_path, number):
    serve = Serve(tmp_path)
    told = [serve.process.stdout.readline() for _ in range(5)]
    assert f"http://127.0.0.1:{serve.port}/v1" in told[0] and "vLLM 0.32.0" in told[0]
    assert "4,096 tokens" in told[1] and "8,192 tokens, 2.0 requests" in told[2]
    assert f"heats solve --model small --base-url http://127.0.0.1:{serve.port}/v1" in told[4]
    assert serve.stub_lives()
    serve.process.send_signal(number)
    serve.process.communicate(timeout=30)
    assert serve.process.returncode == 128 + number
    assert serve.gone_within(60)


@pytest.mark.slow
def test_a_killed_heats_serve_takes_its_server_along(tmp_path):
    serve = Serve(tmp_path)
    assert serve.process.stdout.readline().startswith("ready")
    serve.process.kill()
    serve.process.communicate(timeout=30)
    assert serve.gone_within(60)


@pytest.mark.slow
def test_a_vllm_that_fails_is_one_line_and_its_own_words(tmp_path):
    serve = Serve(tmp_path, "--", "--fail")
    out, err = serve.process.communicate(timeout=100)
    assert (serve.process.returncode, out) == (3, "")
    assert "out of memory" in err and "heats: vllm exited with code 1; see its output above" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("template", "tools"),
    [
        ("{% for message in messages %}{{ message.content }}{% endfor %}", ""),
        (
            "{%- if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}",
            "llama3_json",
        ),
        ("{# no tools here #}{{ messages[0].content }} tools", ""),
    ],
)
def test_a_parser_is_chosen_only_for_a_template_that_knows_tools(tmp_path, template, tools):
    """A server with a parser accepted tools that its model never saw: 37 prompt tokens with and without them."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    wanted = Wanted(model=str(tmp_path))
    assert wanted.tool_parser == tools
    assert ("model.text_protocol=true" in wanted.solve_flags()) == (not tools)
    assert Wanted(model=str(tmp_path), tools="hermes").tool_parser == "hermes"


def test_a_template_of_ones_own_or_one_that_is_not_there_leaves_the_familys_parser(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert Wanted(model="Qwen/Qwen3-8B").tool_parser == "hermes"
    kept = tmp_path / "models--Qwen--Qwen3-8B" / "snapshots" / "abc"
    kept.mkdir(parents=True)
    (kept / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert Wanted(model="Qwen/Qwen3-8B").tool_parser == ""
    assert Wanted(model="Qwen/Qwen3-8B", extra=("--chat-template", "mine.jinja")).tool_parser == "hermes"


def test_on_a_cpu_the_flags_fit_the_memory_that_is_free(tmp_path, monkeypatch):
    """vLLM reserves 0.92 of all memory by default, and died after a minute if something else was running."""
    shapes = {"num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 576, "num_hidden_layers": 30}
    (tmp_path / "config.json").write_text(json.dumps({**shapes, "max_position_embeddings": 8192}))
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    monkeypatch.setattr(cpu, "free_bytes", lambda: 4 << 30)
    found = cpu.cpu_flags(str(tmp_path), None, ())
    sized = dict(zip(found[::2], found[1::2], strict=False))
    assert 1 << 30 < int(sized["--kv-cache-memory-bytes"]) < 2 << 30
    assert sized["--max-model-len"] == "8192" and "--no-enable-chunked-prefill" in found
    assert "--kv-cache-memory-bytes" not in cpu.cpu_flags(str(tmp_path), None, ("--gpu-memory-utilization=0.3",))
    assert "--max-model-len" not in cpu.cpu_flags(str(tmp_path), 4096, ())
    monkeypatch.delenv("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", raising=False)
    assert Wanted(model=str(tmp_path), on_cpu=True).environment == {"VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "3600"}
    assert Wanted(model=str(tmp_path)).environment == {}
    monkeypatch.setenv("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", "60")
    assert Wanted(model=str(tmp_path), on_cpu=True).environment == {}
    assert cpu.cache_bytes(1 << 30, 8 << 30) == 1 << 28 and cpu.cache_bytes(200 << 30, 1 << 30) == 8 << 30


@pytest.mark.parametrize(
    ("lines", "code", "reason"),
    [
        (
            [
                "WARNING 11-29 can cause errors like `OSError: [Errno 24] Too many open files`.",
                "(EngineCore pid=7) ERROR 11-29 [core.py:9] ValueError: Available memory on node 0 (3/15 GiB) is less",
                "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s)",
            ],
            1,
            "ValueError: Available memory on node 0 (3/15 GiB) is less",
        ),
        (["vllm serve: error: unrecognized arguments: --nonsense"], 2, "error: unrecognized arguments: --nonsense"),
        (["loading"], 137, "it was killed, most likely because memory ran out"),
        (["loading"], 1, ""),
    ],
)
def test_of_all_that_a_dying_vllm_says_the_line_that_matters_is_repeated(lines, code, reason):
    words = Words()
    words._lines += [f" {line}" for line in lines]
    assert words.reason(code) == reason
