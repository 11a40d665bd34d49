"""The implementation of `heats check`: from a bare repository to a sandbox in which its tests run."""
