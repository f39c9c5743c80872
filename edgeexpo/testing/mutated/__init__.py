"""Valid command lines and files with mutations drawn at random, for robustness trials."""
