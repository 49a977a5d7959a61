"""The layers around every view, on the way in and out. Knows Flask.
The views: routes/. The shapes of bodies: wire/. The caller of a request: callers/.
"""
