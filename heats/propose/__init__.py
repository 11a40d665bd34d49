"""Turn a verified patch into a branch and a pull request, without running or touching anything of the user's.

`steps.propose` does the work; `proposal` defines what is proposed, and `config` the settings.
"""
