"""What people read in their language: which one that is, and the words that code puts together for pages and mails.

Code marks a text with a function of texts.py, a template with `_()`, `ngettext()`, `pgettext()` or `{% trans %}`, a
script of a page with `text()` or `counted()` of static/texts.js. The messages of the API stay English. The catalogues
are in app/translations; `scripts/translations` brings them up to date.
"""
