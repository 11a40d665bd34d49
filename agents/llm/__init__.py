"""Chat models: the OpenAI-compatible client, the built-in repair policy, and scripted fakes."""
