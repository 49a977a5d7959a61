"""What Redis keeps (keys.py names it all), and the scripts for what must change together (lua/). No Flask.
One user is one hash tag and so one slot: every operation on a user is one atomic step.
"""
