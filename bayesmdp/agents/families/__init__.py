"""What agents of one family share: planning, regression of Q-values, optimism."""
