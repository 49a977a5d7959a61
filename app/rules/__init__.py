"""Rules: what people and operators may do and what follows from it, one noun a module, in plain Python.

Nothing here knows Flask or Redis. Changes that Redis must make together: stores/lua/.
"""
