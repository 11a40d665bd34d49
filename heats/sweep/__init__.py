"""A data set x a configuration: which tasks, their images, and what came out."""
