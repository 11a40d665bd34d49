"""What settings would give and cost, by simulation."""
