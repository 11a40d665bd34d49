"""Read trajectories written by other tools."""

from agents.importers.reading import parse_document, parse_trajectory, read_trajectory

__all__ = ["parse_document", "parse_trajectory", "read_trajectory"]
