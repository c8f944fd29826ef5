"""From a model and a log to a posterior as a DataTree: one front, three kinds of models."""
