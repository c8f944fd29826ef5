"""Experience as Datasets: read from any source, checked, compressed to weighted rows."""
