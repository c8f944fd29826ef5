"""What a plan from a log tells, in words, as a page and as JSON: nothing here changes the plan."""
