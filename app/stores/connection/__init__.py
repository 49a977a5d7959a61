"""How Redis is spoken with: one server, a set that Sentinels watch, or a Cluster, all through one client.
What is kept there is for the stores beside this package to say.
"""
