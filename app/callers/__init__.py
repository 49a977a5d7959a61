"""The caller, read from a request: token, address, client and place.
The rights of a caller: rules/. Flask's work on a request: web/.
"""
