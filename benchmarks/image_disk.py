"""How much disk the images of a data set need, from those that are here, with shared layers counted once.

    python benchmarks/image_disk.py [--tasks 500] [--environments 63] [REFERENCE]

An image stands on the image with its environment, which all tasks of one version of a project share, and that on a
common base. Prints each image's own part, and what `--tasks` tasks in `--environments` environments would need at the
mean sizes found here: with all images kept, and with one open task at a time.
"""

import argparse
import fnmatch
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

import docker


@dataclass(frozen=True)
class Image:
    """An image: a name, the digests of its layers, and the bytes of all of them."""

    name: str
    layers: tuple[str, ...]
    size: int

    def below(self, images: list["Image"]) -> "Image":
        """The largest other image whose layers this one begins with; one without layers if there is none."""
        found = [one for one in images if one.layers != self.layers and self.layers[: len(one.layers)] == one.layers]
        return max(found, key=lambda one: len(one.layers), default=Image("nothing", (), 0))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", nargs="?", default="swebench/sweb.eval.*", help="pattern of the images' names")
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--environments", type=int, help="by default as many for a task as here")
    options = parser.parse_args()
    known = read_all()
    # Steps of a build are images, too; the environment is the one that has a name.
    named = [one for one in known if one.name]
    tasks = [one for one in named if fnmatch.fnmatch(one.name, options.reference)]
    if not tasks:
        parser.error(f"no image matches {options.reference}")
    rest = [one for one in named if one not in tasks]
    environments = {task.name: task.below(rest) for task in tasks}
    base = {one.name: one.below([other for other in rest if other != one]) for one in environments.values()}
    own = [task.size - environments[task.name].size for task in tasks]
    apart = {one.name: one.size - base[one.name].size for one in environments.values()}
    floor = max(one.size for one in base.values())
    for task, size in zip(tasks, own, strict=True):
        print(f"{task.name:68} {mb(task.size)}, of which its own {mb(size)}, on {environments[task.name].name}")
    once = floor + sum(apart.values()) + sum(own)
    print(f"{len(tasks)} tasks, {len(apart)} environments: {gb(sum(task.size for task in tasks))} by their sizes,")
    print(f"{gb(once)} on the disk: base {mb(floor)}, environments {spread(apart.values())}, tasks {spread(own)}")
    wanted = options.environments or round(options.tasks * len(apart) / len(tasks))
    shared, single = wanted * statistics.mean(apart.values()), options.tasks * statistics.mean(own)
    print(f"{options.tasks} tasks in {wanted} environments at these means: {gb(floor + shared + single)};")
    print(f"one task at a time: at most {gb(floor + max(apart.values()) + max(own))}")


def read_all() -> list[Image]:
    """All images of the daemon, those without a name included."""
    client = docker.from_env()
    found = []
    for entry in client.api.images(all=True):
        about = client.api.inspect_image(entry["Id"])
        layers = tuple(about["RootFS"].get("Layers") or ())
        found += [Image(name, layers, about["Size"]) for name in about.get("RepoTags") or [""]]
    return sorted(found, key=lambda one: one.name)


def spread(sizes: Iterable[float]) -> str:
    """Mean and range of sizes."""
    values = list(sizes)
    return f"{mb(statistics.mean(values))} on average ({mb(min(values))} to {mb(max(values))})"


def mb(size: float) -> str:
    """A size in megabytes."""
    return f"{size / 1e6:.0f} MB"


def gb(size: float) -> str:
    """A size in gigabytes."""
    return f"{size / 1e9:.1f} GB"


if __name__ == "__main__":
    main()
