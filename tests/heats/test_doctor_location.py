"""`heats doctor` says when sandboxes could show where heats is installed."""

import sys
from pathlib import Path

import pytest

import envs
from heats.cli import doctor
from heats.config import load_config


@pytest.mark.parametrize(
    "place", ["/usr/lib/python3/dist-packages/envs", "/usr/local/lib/python3.11/site-packages/envs"]
)
async def test_an_installation_below_usr_is_doubted(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(envs, "__file__", f"{place}/__init__.py")
    with pytest.raises(doctor.Doubt, match="hidden tests"):
        await doctor._location(load_config())
    assert "no sandbox shows" in await doctor._location(load_config((), {"sandbox.backend": "docker"}))


def test_an_installation_beside_the_base_interpreter_is_doubted() -> None:
    base = Path(sys.base_prefix).resolve()
    assert doctor.shown_by_host_root(base / "lib" / "site-packages" / "envs") == base
    assert doctor.shown_by_host_root(Path("/opt/heats/venv/lib/envs")) is None


async def test_a_doubt_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    async def doubted() -> str:
        raise doctor.Doubt("look at it")

    assert await doctor._examine([("location", doubted)])
    assert capsys.readouterr().out.split() == ["warn", "location", "look", "at", "it"]
