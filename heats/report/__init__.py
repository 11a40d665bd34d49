"""Reports on a run: figures, accounts, the HTML report and plots."""
