"""A run's results in other tools' formats."""
