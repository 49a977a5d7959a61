"""What routes say of themselves (wire/contract.py), made into documents: /openapi.json and the page /docs.
The refusals themselves stand in errors.py; web/error_handlers.py answers with them.
"""
