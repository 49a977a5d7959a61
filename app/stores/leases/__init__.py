"""Leases: the time for which a worker may answer a yes from its memory, and the wait of endings until it is over.

A holder is a process that is registered in Redis to hold leases. An ending asks all holders (a round), and is told as
done only when each has given its word or can hold no lease any more. A Cluster has no leases: a slot that moves takes
its truth to another server, and the first one does not tell.

rounds.py has the rounds of this process and their waits, endings.py lets the scripts on sessions wait. holder.py has
the lease of a worker, connection.py its connection, kept.py what it keeps. trial.py tries whether all that works.
"""
