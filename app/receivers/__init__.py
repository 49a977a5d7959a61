"""The systems that are told of events: what each is sent, and how its answer is judged.

Their settings: config.py, receiver_settings.py. The queue of each: stores/jobs.py. Retries: jobs/worker.py.
"""
