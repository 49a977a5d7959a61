"""The rules of the service: what users and operators may do, and what follows. One module for each noun.

Nothing here knows Flask or Redis. Atomic changes in Redis: stores/lua/.
"""
