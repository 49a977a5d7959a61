"""The shapes of bodies, by surface, and what a route says of itself (contract.py). marshmallow, no Flask.
What a body means is for rules/; headers and cookies are in web/ and callers/.
"""
