"""What scripts/fuzz runs."""
