"""What is told of all that: audit lines, metrics, log lines, and the context that they speak of.
Events for gateways are told by the scripts: stores/lua/session.lua.
"""
