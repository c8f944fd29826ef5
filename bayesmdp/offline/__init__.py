"""From a log to a policy that can be defended."""
