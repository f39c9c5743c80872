"""What a photographer would see, as numbers."""
