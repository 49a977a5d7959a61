"""Mails to users: their words, the mail server, and their delivery.

Which notice is due: rules/notices.py. The queue of mails: stores/mail.py. Retries: jobs/worker.py.
"""
