"""What a request meets on its way in and out, around every view. Knows Flask.
The views are in routes/, the shapes of bodies in wire/, who asks is worked out in callers/.
"""
