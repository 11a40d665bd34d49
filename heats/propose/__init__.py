"""From a verified patch to a branch and a pull request, without running or touching anything of the user's.

`steps.propose` does it; `proposal` says what is proposed and `config` what can be set.
"""
