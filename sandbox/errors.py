"""Errors of sandboxes themselves.

A command that fails, times out or is killed is a *result* (`ExecResult`); these say that the machine is broken.

* SandboxError
  + BackendUnavailable     no daemon, no bwrap, an unsafe backend not asked for
  + ImageMissing           one or more images are not on this machine
  + SandboxStartError      it could not be started, or failed its own attestation
  + SandboxLost            it died, or its channel broke and could not be reopened
    - DiskLimitExceeded    it was ended because it wrote too much
  + FileAccessError        a read or write of one file was refused
    - SandboxFileNotFound
    - NotARegularFile
      . IsADirectory
    - FileTooLarge
    - FilePermissionDenied
"""

from core.errors import ExpectedError


class SandboxError(ExpectedError):
    """The sandbox, not the command in it, failed."""


class BackendUnavailable(SandboxError):
    """The backend cannot be used on this machine; the message says what to install or start."""


class ImageMissing(SandboxError):
    """Images that a run needs do not exist.

    Attributes:
        images: every missing image, so that all are named at once.
    """

    def __init__(self, images: tuple[str, ...], hint: str = "") -> None:
        self.images = images
        super().__init__(f"image not found: {', '.join(images)}" + (f" ({hint})" if hint else ""))


class SandboxStartError(SandboxError):
    """The sandbox could not be started, or one of its boundary probes failed."""


class SandboxLost(SandboxError):
    """The sandbox died or can no longer be reached; nothing more can be run or read in it."""


class DiskLimitExceeded(SandboxLost):
    """The sandbox wrote more than its `disk_mb` and was ended. Starting it again does not help."""


class FileAccessError(SandboxError):
    """One file could not be read or written; the sandbox is fine."""


class SandboxFileNotFound(FileAccessError, FileNotFoundError):
    """There is no file at that path in the sandbox."""


class NotARegularFile(FileAccessError):
    """The path is a directory, link, device, fifo or socket; only regular files cross the boundary."""


class IsADirectory(NotARegularFile, IsADirectoryError):
    """The path is a directory."""


class FileTooLarge(FileAccessError):
    """The file is larger than the caller allowed."""


class FilePermissionDenied(FileAccessError, PermissionError):
    """The sandbox's user may not read or write there."""
