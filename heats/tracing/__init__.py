"""A run as OpenTelemetry spans, created afterwards from the run directory.

`spans.py` needs only heats; `otlp.py` needs the extra `otel`.
"""
