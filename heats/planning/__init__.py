"""Simulate what settings would achieve and cost."""
