"""Reports on what the service does: audit lines, metrics, log lines, and the context that they name.
Events for gateways: stores/lua/session.lua.
"""
