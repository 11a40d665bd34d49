"""Which models the doctor probes, and what it says about them."""

import asyncio

from heats.cli import doctor
from heats.config import load_config

SERVER = "model.base_url=http://127.0.0.1:9/v1"


def test_without_a_model_none_is_asked():
    assert doctor.models_of(load_config(())) == {}


def test_every_model_of_a_configuration_is_asked_once():
    layers = ["model.name=a", SERVER, "models=[{name: b, weight: 1}, {name: a, weight: 1}]", "rollouts=4"]
    config = load_config([*layers, "summarizer_model={name: s, base_url: 'http://x/v1'}"])
    found = doctor.models_of(config)
    assert {name: one.name for name, one in found.items()} == {"model": "b", "model 2": "a", "summarizer": "s"}


def test_a_server_that_is_not_there_fails_in_one_line(capsys):
    config = load_config(["model.name=a", SERVER])
    checks = [(name, lambda one=one: doctor._model("model", one)) for name, one in doctor.models_of(config).items()]
    assert not asyncio.run(doctor._examine(checks, json=True))
    assert '"state": "FAIL"' in capsys.readouterr().out
