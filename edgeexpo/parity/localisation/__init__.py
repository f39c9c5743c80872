"""Which layer: an artefact's values between layers, aligned with the program and judged."""
