"""What people and operators may do and what follows from it, one noun a module, in plain Python.
Nothing here knows Flask or Redis. What must change together in Redis is in stores/lua/.
"""
