"""The documents /openapi.json and /docs, made of the contracts of routes (wire/contract.py).
The refusals themselves are in errors.py, the answers that they become in web/error_handlers.py.
"""
