"""The fuzzer behind scripts/fuzz: odd requests to a real gunicorn, and a judge of each answer."""
