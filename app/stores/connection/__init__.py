"""The client of Redis: one server, a set that Sentinels watch, or a Cluster.

The data in Redis: app/stores/.
"""
