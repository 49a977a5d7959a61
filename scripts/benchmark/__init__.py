"""How fast Keyrack is, as ratios to bare floors measured in the same run on the same settings."""
