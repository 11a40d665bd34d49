"""Whether a configured bank can be used, found out before anything is spent."""

from pathlib import Path

from heats.bank.config import READERS, WRITERS, BankConfig
from heats.bank.store import Bank


def check_bank(config: BankConfig) -> None:
    """Read the bank, and load its readers and writers.

    Raises:
        UsageError, UnknownPart, InvalidOptions, ExtraMissing
    """
    if config.path is None:
        return
    Bank(Path(config.path)).batches()
    for reader in config.readers:
        READERS.open(reader, config, options=config.options, key="bank.options")
    for writer in config.writers:
        WRITERS.open(writer, writer, config, options=config.options, key="bank.options")
