"""How jobs of a queue are worked through: one after the other, tried again, given up.
Where they wait is stores/jobs.py; what one kind of them does is in its own package, as mail/.
"""
