"""Mails to users: their words, the mail server, when one is tried again.
Which notice is due is for rules/notices.py to say; mails wait in stores/mail.py.
"""
