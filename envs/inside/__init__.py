"""Programs that verification puts into the sandbox; every Python process of the test command loads them."""
