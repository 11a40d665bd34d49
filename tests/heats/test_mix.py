"""Models and temperatures across a heat's rollouts: shares as configured, reproducible, and recorded."""

from collections import Counter

import pytest
from doubles import CountingModel

from heats.config import load_config
from heats.errors import UsageError
from heats.runner.model_mix import main_model, policy_of
from heats.store.store import RunStore

TWO = {"models": [{"name": "a", "weight": 3, "base_url": "http://a/v1"}, {"name": "b"}], "model.name": "main"}


def mixed(**more):
    return load_config((), TWO | more)


@pytest.mark.parametrize("rollouts", [4, 8, 16])
def test_models_get_their_share_of_every_heat(rollouts):
    names = Counter(policy_of(mixed(), index).model.name for index in range(rollouts))
    assert names == {"a": 3 * rollouts // 4, "b": rollouts // 4}


def test_what_a_model_of_the_mix_leaves_open_is_as_in_the_main_one():
    config = mixed(**{"model.base_url": "http://main/v1", "model.top_p": 0.5})
    played = {policy_of(config, index).model.name: policy_of(config, index).model for index in range(4)}
    told = [(played[name].base_url, played[name].top_p) for name in "ab"]
    assert told == [("http://a/v1", 0.5), ("http://main/v1", 0.5)]


def test_each_model_goes_through_all_temperatures():
    config = load_config((), TWO | {"models": [{"name": "a"}, {"name": "b"}], "temperatures": [0.0, 1.0]})
    policies = [policy_of(config, index) for index in range(8)]
    seen = Counter((policy.model.name, policy.sampling(1).temperature) for policy in policies)
    assert seen == {(name, temperature): 2 for name in "ab" for temperature in (0.0, 1.0)}


def test_without_a_mix_every_rollout_is_played_with_the_model_as_configured():
    config = load_config((), {"model.name": "main", "model.temperature": 0.3, "model.max_tokens": 9})
    assert [policy_of(config, index).model for index in range(3)] == [config.model] * 3
    sampling = policy_of(config, 2).sampling(5)
    assert (sampling.temperature, sampling.max_tokens, sampling.seed) == (0.3, 9, 5)


def test_the_first_of_a_mix_stands_in_for_a_main_model_that_is_not_given():
    assert main_model(load_config((), {"models": TWO["models"]})).name == "a"
    with pytest.raises(UsageError, match="no model given"):
        main_model(load_config(()))


def test_where_a_mixed_model_is_served_is_no_part_of_the_runs_identity():
    elsewhere = {"models": [TWO["models"][0] | {"base_url": "http://c/v1"}, TWO["models"][1]]}
    assert mixed().identity() == mixed(**elsewhere).identity()


async def test_a_run_records_what_each_rollout_was_played_with(paper_run, tmp_path):
    main, models = CountingModel([]), {"models": [{"name": "fake:one"}, {"name": "fake:two"}]}
    other = CountingModel([])
    other.name = "fake:two"
    config = load_config((), models | {"model.name": "fake:counting"})
    mix = {policy_of(config, 1).model.model_dump_json(): other}
    await paper_run(model=main, mix=mix, temperatures=[0.1, 0.9], **models)
    task = RunStore(tmp_path / "run").task("one")
    played = [task.rollout(one).outcome() for one in task.rollouts(0)]
    assert [one.temperature for one in played] == [0.1, 0.1, 0.9, 0.9]
    assert [one.model for one in played] == ["fake:counting", "fake:two"] * 2
    assert {schema for schema, *_ in other.asked} == {"agent"}
