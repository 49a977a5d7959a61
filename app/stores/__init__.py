"""All data in Redis. keys.py has the names of keys, lua/ the scripts for atomic changes. Nothing here knows Flask.

All keys of a user share one hash tag, and so one slot. So each change of a user can be one atomic step.
"""
