"""End states of sandboxes saved as images: until they are graded, or permanently if requested.

An image holds only files. Since processes are gone, a grade from an image does not always match the state.
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
"""Label with the digest of the state's description: runs in directories of the same name share image names."""


def state_image(run_id: str, task_id: str, rollout: str) -> str:
    """Name of the image that keeps a rollout's state: the same in every process of a run.

    Args:
        run_id: id of the run.
        task_id: id of the task.
        rollout: id of the rollout.
    """
    digest = sha256(f"{run_id}\0{task_id}".encode()).hexdigest()[:8]
    name = "".join(char if char.isalnum() else "-" for char in slug(task_id).lower()).strip("-")[:60]
    return f"heats-state/{name or 'task'}-{digest}:{rollout.replace('/', '-')}"


async def keep(
    backend: SandboxBackend, sandbox: Sandbox, image: str, description: Patch, labels: Mapping[str, str]
) -> None:
    """Save a sandbox's files as an image, replacing an older image of that name.

    Args:
        backend: the sandbox's backend.
        sandbox: the sandbox.
        image: name of the image.
        description: the state's description, whose digest becomes a label.
        labels: further labels.

    Raises:
        SandboxError
    """
    await Images.of(backend).remove(image)
    await keep_state(sandbox, image, {**labels, _DESCRIBED: description.sha256})


async def is_kept(backend: SandboxBackend, image: str, description: Patch) -> bool:
    """Whether an image exists and holds the described state.

    Args:
        backend: backend with the images.
        image: name of the image.
        description: the state's description.
    """
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
    """Grade a saved state in a fresh sandbox started from its image.

    Args:
        image: name of the image.
        env: env of the task.
        task: the task.
        description: the state's description.
        backend: starts the sandbox.
        labels: labels of the sandbox.
        limits: limits that apply where the task sets none.

    Raises:
        SandboxError: no sandbox could be started.
    """
    if not isinstance(env, GradesKeptStates):
        return Grade(task_id=task.id, outcome="invalid", reason=f"the env {env.name} cannot grade a kept state")
    kept = task.model_copy(update={"image": image})
    sandbox = await backend.start(spec_for(kept, labels, limits))
    try:
        return await env.grade_kept(task, description, sandbox, backend)
    finally:
        await sandbox.close()


async def drop(backend: SandboxBackend, images: Collection[str]) -> None:
    """Remove the given images if they exist."""
    try:
        known = Images.of(backend)
        there = {one.name for one in await known.made("state")}
    except BackendUnavailable:
        return
    for image in images:
        if image in there:
            await known.remove(image)
