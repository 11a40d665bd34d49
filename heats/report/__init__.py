"""What a run amounted to: figures, accounts, the HTML report and plots."""
