"""What gunicorn does otherwise here: workers, listeners, its log, the settings and checks at start.
What one request meets is in web/.
"""
