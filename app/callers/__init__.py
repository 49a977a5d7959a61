"""Who asks, read from a request: whose token, from which address, with what client, at what place.
What they may do is for rules/, what Flask does with the answer for web/.
"""
