"""What Redis keeps. One user is one hash tag and so one slot: every operation on a user is one atomic step."""
