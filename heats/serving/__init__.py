"""A vLLM of our own: started, looked after and ended."""
