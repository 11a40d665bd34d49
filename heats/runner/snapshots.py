"""End states of sandboxes that are kept as images: until they are graded, or for good where that is wanted.

An image holds files. What ran in the sandbox is gone, so a grade from an image is not always one of the state.
"""

from collections.abc import Collection, Mapping
from hashlib import sha256

from envs.base import Env, Grade, GradesKeptStates, Patch, Task
from envs.machine import spec_for
from heats.store.files import slug
from sandbox.base import Sandbox, SandboxBackend, SandboxLimits
from sandbox.errors import BackendUnavailable, SandboxError
from sandbox.images import Images, keep_state

_DESCRIBED = "description"
"""Label with the digest of the state's description: runs in directories of the same name share names of images."""


def state_image(run_id: str, task_id: str, rollout: str) -> str:
    """The image that keeps a rollout's state: the same name in every process of a run."""
    digest = sha256(f"{run_id}\0{task_id}".encode()).hexdigest()[:8]
    name = "".join(char if char.isalnum() else "-" for char in slug(task_id).lower()).strip("-")[:60]
    return f"heats-state/{name or 'task'}-{digest}:{rollout.replace('/', '-')}"


async def keep(
    backend: SandboxBackend, sandbox: Sandbox, image: str, description: Patch, labels: Mapping[str, str]
) -> None:
    """Keep a sandbox's files as an image, in the place of an older one of that name.

    Raises:
        SandboxError
    """
    await Images.of(backend).remove(image)
    await keep_state(sandbox, image, {**labels, _DESCRIBED: description.sha256})


async def is_kept(backend: SandboxBackend, image: str, description: Patch) -> bool:
    """Whether an image is there, and of the state that the description is of."""
    try:
        made = await Images.of(backend).made("state")
    except SandboxError:
        return False
    return any(one.name == image and one.labels.get(_DESCRIBED) == description.sha256 for one in made)


async def grade_from(
    image: str,
    env: Env,
    task: Task,
    description: Patch,
    backend: SandboxBackend,
    *,
    labels: Mapping[str, str] | None = None,
    limits: SandboxLimits | None = None,
) -> Grade:
    """Grade a state from the image that keeps it, in a fresh sandbox of it.

    Raises:
        SandboxError: no sandbox could be had.
    """
    if not isinstance(env, GradesKeptStates):
        return Grade(task_id=task.id, outcome="invalid", reason=f"the env {env.name} cannot grade a kept state")
    kept = task.model_copy(update={"image": image})
    sandbox = await backend.start(spec_for(kept, labels, limits))
    try:
        return await env.grade_kept(task, description, sandbox)
    finally:
        await sandbox.close()


async def drop(backend: SandboxBackend, images: Collection[str]) -> None:
    """Remove those of the images that are there."""
    try:
        known = Images.of(backend)
        there = {one.name for one in await known.made("state")}
    except BackendUnavailable:
        return
    for image in images:
        if image in there:
            await known.remove(image)
