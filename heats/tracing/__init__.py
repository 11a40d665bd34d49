"""A run as OpenTelemetry spans, made after the fact from what the run directory holds.

`spans.py` needs nothing but heats; `otlp.py` needs the extra `otel`.
"""
