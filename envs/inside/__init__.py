"""Programs that verification puts into a sandbox, where every Python process of the test command loads them."""
