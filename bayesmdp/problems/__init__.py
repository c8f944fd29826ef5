"""What is decided on: MDPs, simulated and continuous problems, their arrays, labels, stages and policies."""
