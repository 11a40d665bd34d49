"""`heats doctor` warns if sandboxes could expose heats' installation."""

import sys
from pathlib import Path

import pytest

import envs
from heats.cli import doctor
from heats.config import load_config


async def test_an_installation_that_sandboxes_show_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path("/usr/share/heats/envs") if sys.base_prefix == "/usr" else Path(sys.base_prefix, "lib", "envs")
    monkeypatch.setattr(envs, "__file__", str(place / "__init__.py"))
    with pytest.raises(doctor.Doubt, match="hidden tests"):
        await doctor._location(load_config())
    assert "not visible in any sandbox" in await doctor._location(load_config((), {"sandbox.backend": "docker"}))


async def test_an_installation_among_hidden_packages_is_doubted_only_where_packages_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packages = Path(pytest.__file__).parents[1]
    monkeypatch.setattr("sandbox.host_image.package_directories", lambda: [packages])
    monkeypatch.setattr(sys, "base_prefix", str(packages.parents[2]))
    monkeypatch.setattr(envs, "__file__", str(packages / "envs" / "__init__.py"))
    assert "not visible in any sandbox" in await doctor._location(load_config())
    with pytest.raises(doctor.Doubt, match="host_packages"):
        await doctor._location(load_config((), {"sandbox.host_packages": True}))


async def test_a_doubt_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    async def doubted() -> str:
        raise doctor.Doubt("look at it")

    assert await doctor._examine([("location", doubted)])
    assert capsys.readouterr().out.split() == ["warn", "location", "look", "at", "it"]
