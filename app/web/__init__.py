"""The layers around every view, on the way in and out. Knows Flask.
What the application behind the gateway is asked is here, too, because views ask it.
The views: routes/. The shapes of bodies: wire/. The caller of a request: callers/.
"""
