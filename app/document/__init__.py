"""The documents /openapi.json and /docs, made from the contracts of routes (wire/contract.py).
The refusals are defined in errors.py and form_errors.py, their answers are made in web/error_handlers.py.
"""
