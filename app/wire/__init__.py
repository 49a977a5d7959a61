"""The shapes of bodies, by surface, and the contracts of routes (contract.py). Uses marshmallow, not Flask.
The rules: rules/. Headers and cookies: web/ and callers/.
"""
