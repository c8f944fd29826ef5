"""Ground that knows nothing of decision problems: checks of arguments, compiled programs, files of users, text."""
