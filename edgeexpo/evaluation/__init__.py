"""Quality of networks against ground truth, beside baselines that need no network."""
