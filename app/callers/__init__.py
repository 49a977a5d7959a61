"""The caller, read from a request: token, address, client and place.
What a caller may do: rules/. What Flask does with a request: web/.
"""
