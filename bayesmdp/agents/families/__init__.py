"""What agents of one family share (planning, regression, optimism), and parts of what is long for one file."""
