"""What a run stores on disk, and how."""
