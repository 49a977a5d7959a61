"""All that is kept in Redis: keys.py names it, lua/ has the scripts for what must change together. No Flask here.

All keys of a user have one hash tag and so are in one slot, so that each change of a user is one atomic step.
"""
