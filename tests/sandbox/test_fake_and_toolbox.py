"""What other rooms use: the scripted sandbox, and pytest for images without it."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sandbox import FileTooLarge, Sandbox, SandboxFileNotFound, SandboxLost, SandboxSpec
from sandbox.fake import FakeBackend, FakeExhausted, FakeSandbox, result
from sandbox.toolbox import TOOLBOX, toolbox_directory

pytestmark = pytest.mark.asyncio(loop_scope="module")

Start = Callable[..., Awaitable[Sandbox]]


async def test_a_fake_replies_in_order_records_and_names_its_exhaustion() -> None:
    fake = FakeSandbox(["out\n", result("", 3, stderr="err")])
    assert (await fake.exec("a", timeout=1, cwd="/x")).stdout == b"out\n"
    assert (await fake.exec("b", timeout=2)).exit_code == 3
    with pytest.raises(FakeExhausted, match="command 3"):
        await fake.exec("c", timeout=1)
    assert fake.commands == ["a", "b", "c"]
    assert fake.calls[0].cwd == "/x"


async def test_a_fake_raises_what_it_is_told_and_is_lost_once_closed() -> None:
    fake = FakeSandbox([SandboxLost("gone")])
    with pytest.raises(SandboxLost, match="gone"):
        await fake.exec("a", timeout=1)
    await fake.close()
    with pytest.raises(SandboxLost):
        await fake.read_file("x")


async def test_a_fakes_files_are_below_its_workdir() -> None:
    fake = FakeSandbox(files={"a": b"1"})
    await fake.write_file("/testbed/b", b"22")
    assert (await fake.read_file("/testbed/a"), await fake.read_file("b")) == (b"1", b"22")
    with pytest.raises(FileTooLarge):
        await fake.read_file("b", max_bytes=1)
    with pytest.raises(SandboxFileNotFound):
        await fake.read_file("c")


async def test_a_fake_backend_hands_out_what_it_has() -> None:
    first = FakeSandbox()
    backend = FakeBackend([first])
    assert await backend.start(SandboxSpec(image="x")) is first
    with pytest.raises(FakeExhausted, match="sandbox 2"):
        await backend.start(SandboxSpec(image="x"))
    assert [spec.image for spec in backend.specs] == ["x", "x"]


async def test_a_toolbox_is_made_once_per_set_of_versions(tmp_path: Path) -> None:
    made = toolbox_directory(tmp_path)
    assert toolbox_directory(tmp_path) == made
    assert [path.name for path in tmp_path.iterdir()] == [made.name]
    assert (made / "pytest" / "__init__.py").is_file()
    assert not [path for path in made.rglob("*") if path.suffix in (".so", ".pyd")]


@pytest.mark.kinds("docker", "bubblewrap")
async def test_tests_run_from_the_toolbox_without_a_network(start: Start, tmp_path: Path) -> None:
    sbx = await start(read_only_mounts={str(toolbox_directory(tmp_path)): TOOLBOX})
    await sbx.write_file("test_it.py", b"def test_it():\n    assert 1 + 1 == 2\n")
    run = "python3 -m pytest -q -p no:cacheprovider test_it.py"
    outcome = await sbx.exec(run, timeout=60, env={"PYTHONPATH": TOOLBOX})
    assert (outcome.exit_code, b"1 passed" in outcome.stdout) == (0, True)
    assert (await sbx.exec('echo "[$PYTHONPATH]"', timeout=120)).stdout == b"[]\n"
