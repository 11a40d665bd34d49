"""Managed vLLM servers: start-up, supervision and shutdown."""
