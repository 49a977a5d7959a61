"""The benchmark: Keyrack's speed as ratios to bare floors, measured in one run with the same settings."""
