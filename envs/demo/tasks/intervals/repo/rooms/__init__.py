"""Busy and free times of meeting rooms."""
