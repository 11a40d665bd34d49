"""From a bare repository to a sandbox in which its tests run: what `heats check` does."""
