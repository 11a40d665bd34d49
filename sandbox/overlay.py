"""A writable view of read-only directories: the kernel's overlay file system, where it can be mounted.

It is mounted in a mount namespace of the sandbox's own; without root, in a user namespace as well. So nothing has to
be unmounted, and the host sees what is written in `LAYER` alone.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TREE = "tree"
"""Folder of a sandbox's directory where the view is mounted."""
LAYER = "layer"
"""Folder with everything that was written or, as markers, deleted."""

_WORK, _LOWER = "overlay", "lower"
_MOUNT = f"""cd "$0" && mount -n -t overlay -o "$1" heats {TREE} && cd / && shift && exec "$@" """
_PROBE = f'cd "$0/{TREE}/folder" && : >>file && cd .. && rm -r folder && mkdir folder && [ -z "$(ls folder)" ]'


@dataclass(frozen=True, slots=True)
class Overlay:
    """How to mount overlays on this machine.

    Attributes:
        unshare: path of util-linux's `unshare`.
        root: whether this process is root.
    """

    unshare: str
    root: bool

    @classmethod
    def find(cls) -> "Overlay | None":
        """Look for the program; whether the kernel mounts overlays is for `probe` to show."""
        unshare = shutil.which("unshare")
        return None if unshare is None or shutil.which("mount") is None else cls(unshare, os.getuid() == 0)

    def probe(self, folder: Path) -> list[str]:
        """Prepare an empty directory and return a command that succeeds if overlays work there."""
        (folder / "below" / "folder").mkdir(parents=True)
        (folder / "below" / "folder" / "file").touch()
        self.prepare(folder, [folder / "below"])
        return self.wrap(folder, ["/bin/sh", "-c", _PROBE, str(folder)])

    def prepare(self, folder: Path, lower: Sequence[Path]) -> None:
        """Make the folders of a view.

        Args:
            folder: the sandbox's directory.
            lower: directories that the view consists of, topmost first.
        """
        for name in (TREE, LAYER, _WORK):
            (folder / name).mkdir()
        # The view's own folder has the permissions of the topmost directory.
        (folder / LAYER).chmod(0o755)
        # Links keep the mount options short, and free of characters that would need escaping.
        for number, path in enumerate(lower):
            (folder / f"{_LOWER}{number}").symlink_to(path)

    def wrap(self, folder: Path, argv: Sequence[str]) -> list[str]:
        """Wrap a command in one that mounts the view first, visible to that command alone."""
        lower = ":".join(sorted(path.name for path in folder.glob(f"{_LOWER}*")))
        options = f"lowerdir={lower},upperdir={LAYER},workdir={_WORK}"
        if self.root:
            return [self.unshare, "--mount", "/bin/sh", "-c", _MOUNT, str(folder), options, *argv]
        namespaces = ["--user", "--map-root-user", "--mount"]
        return [self.unshare, *namespaces, "/bin/sh", "-c", _MOUNT, str(folder), f"{options},userxattr", *argv]
