"""The shapes of bodies, by surface, and what a route says of itself (contract.py). marshmallow, no Flask.
The rules on what a body asks for: rules/. Headers and cookies: web/ and callers/.
"""
