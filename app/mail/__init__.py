"""Mails to users: their texts, the mail server, and the delivery.

Which notices are due: rules/notices.py. The queue of mails: stores/mail.py. Retries: jobs/worker.py.
"""
