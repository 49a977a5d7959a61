"""Jobs: how those of a queue are done one after the other, tried again, and given up.

The queue: stores/jobs.py. The kinds of jobs: each in its own package, as mail/.
"""
