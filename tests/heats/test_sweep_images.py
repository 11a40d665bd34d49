"""Images of a sweep: pulled before, removed after, and only those that the run pulled."""

import pytest

from envs.base import Task
from heats.errors import PreflightFailed
from heats.sweep import images as images_module
from heats.sweep.images import ImageKeeper
from sandbox.errors import BackendUnavailable

TASKS = [Task(id=str(number), statement="s", image=image) for number, image in enumerate(("a", "a", "b", "c"))]


class Docker:
    """A backend by name only."""

    name = "docker"


class PaperImages:
    """A set of images; the given number of pulls fails."""

    def __init__(self, *held, fails=None):
        self.held, self.fails, self.pulled = set(held), dict(fails or {}), []

    async def has(self, image):
        return image in self.held

    async def pull(self, image, *, timeout_s):
        self.pulled.append(image)
        reasons = self.fails.get(image)
        if reasons:
            raise BackendUnavailable(reasons.pop(0))
        self.held.add(image)

    async def remove(self, image):
        self.held.discard(image)
        return True


@pytest.fixture
def keep(tmp_path, monkeypatch):
    """Make a keeper over simulated images; returns it, the images and its messages."""

    def make(paper, unfinished=("0", "1", "2", "3"), **flags):
        class Known:
            @staticmethod
            def of(backend):
                return paper

        monkeypatch.setattr(images_module, "Images", Known)
        said = []
        keeper = ImageKeeper(say=said.append, wait_s=0, **flags)
        return keeper, keeper.needed(tmp_path, TASKS, unfinished), said

    return make


async def test_nothing_is_pulled_or_removed_unless_asked(keep):
    paper = PaperImages("a")
    keeper, needed, _ = keep(paper)
    assert needed == {"a", "b", "c"}
    await keeper.fetch(object(), needed, Docker())
    for task in TASKS:
        await keeper.done(task, Docker())
    assert (paper.pulled, paper.held) == ([], {"a"})


async def test_what_is_missing_is_pulled_and_goes_after_its_last_task_but_not_what_was_there(keep):
    paper = PaperImages("b")
    keeper, needed, said = keep(paper, pull=True, prune=True)
    await keeper.fetch(object(), needed, Docker())
    assert sorted(paper.pulled) == ["a", "c"]
    await keeper.done(TASKS[0], Docker())
    assert paper.held == {"a", "b", "c"}
    for task in TASKS[1:]:
        await keeper.done(task, Docker())
    assert paper.held == {"b"}
    assert said[-2:] == ["removed image a", "removed image c"]


async def test_a_resumed_run_misses_no_image_that_it_removed_unless_a_task_needs_it_again(keep):
    paper = PaperImages()
    keeper, needed, _ = keep(paper, pull=True, prune=True)
    await keeper.fetch(object(), needed, Docker())
    await keeper.done(TASKS[2], Docker())
    assert keep(paper, unfinished=("0",))[1] == {"a", "c"}
    assert keep(paper, unfinished=("0", "2"))[1] == {"a", "b", "c"}


async def test_a_refused_pull_is_tried_again_and_hopeless_ones_are_told_all_at_once(keep):
    fails = {"a": ["toomanyrequests"], "b": ["manifest unknown"] * 9, "c": ["access denied"] * 9}
    paper = PaperImages(fails=fails)
    keeper, needed, _ = keep(paper, pull=True)
    with pytest.raises(PreflightFailed, match=r"could not pull b: manifest unknown; c: access denied \(`docker login`"):
        await keeper.fetch(object(), needed, Docker())
    assert sorted(paper.pulled) == ["a", "a", "b", "c"]
