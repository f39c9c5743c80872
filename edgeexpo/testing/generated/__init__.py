"""Networks drawn at random from building blocks, exported and compared with eager torch."""
