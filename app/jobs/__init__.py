"""How the jobs of a queue are done one after another, retried and given up.

The queue: stores/jobs.py. Each kind of job is in a package of its own. The kinds: mail/ and receivers/.
"""
