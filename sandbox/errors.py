"""Failures of sandboxes themselves.

A command that fails, times out or is killed is a *result* (`ExecResult`); these errors mean that the machine is broken.

* SandboxError
  + BackendUnavailable     no daemon, no bwrap, or an unsafe backend without consent
  + ImageMissing           one or more images do not exist on this machine
  + SandboxStartError      it could not be started, or failed attestation
  + SandboxLost            it died, or its channel broke and could not be reopened
    - DiskLimitExceeded    it was terminated for writing too much
  + FileAccessError        a file could not be read or written
    - SandboxFileNotFound
    - NotARegularFile
      . IsADirectory
    - FileTooLarge
    - FilePermissionDenied
"""

from core.errors import ExpectedError


class SandboxError(ExpectedError):
    """The sandbox failed, not the command in it."""


class BackendUnavailable(SandboxError):
    """The backend cannot be used on this machine; the message says what to install or start."""


class ImageMissing(SandboxError):
    """Images that a run needs do not exist.

    Attributes:
        images: all missing images.
        hint: why, or what to do.
    """

    def __init__(self, images: tuple[str, ...], hint: str = "") -> None:
        self.images = images
        self.hint = hint
        super().__init__(f"image not found: {', '.join(images)}" + (f" ({hint})" if hint else ""))


class SandboxStartError(SandboxError):
    """The sandbox could not be started, or failed a boundary probe."""


class SandboxLost(SandboxError):
    """The sandbox died or can no longer be reached; nothing more can be run or read in it."""


class DiskLimitExceeded(SandboxLost):
    """The sandbox wrote more than its `disk_mb` and was terminated. Restarting it does not help."""


class FileAccessError(SandboxError):
    """A file could not be read or written; the sandbox itself is fine."""


class SandboxFileNotFound(FileAccessError, FileNotFoundError):
    """No file exists at that path in the sandbox."""


class NotARegularFile(FileAccessError):
    """The path is a directory, link, device, FIFO or socket; only regular files cross the boundary."""


class IsADirectory(NotARegularFile, IsADirectoryError):
    """The path is a directory."""


class FileTooLarge(FileAccessError):
    """The file is larger than the caller allowed."""


class FilePermissionDenied(FileAccessError, PermissionError):
    """The sandbox's user lacks permission."""
