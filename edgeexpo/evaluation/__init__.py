"""Quality against ground truth, and against what needs no network."""
