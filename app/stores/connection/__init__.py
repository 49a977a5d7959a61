"""The client of Redis: one server, a set that Sentinels watch, or a Cluster.

What Redis keeps: the stores beside this package.
"""
