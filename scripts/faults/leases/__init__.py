"""Rows on checks from memory: no gateway is told yes about a session after somebody was told that it is over."""
