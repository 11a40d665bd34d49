"""YAML presets. `default.yaml` is ours, `paper.yaml` the paper's setting laid over it."""
