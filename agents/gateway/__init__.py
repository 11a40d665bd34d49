"""The model gateway: lets other people's agents reach the chat model from a sandbox without network and without key."""
