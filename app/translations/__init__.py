"""The languages of pages and mails. Each but English has a catalogue beside this file: `scripts/translations` makes it.

Which of them a page or a mail is in: languages/choice.py.
"""

from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCE = "en"  # of the texts in code and templates
LANGUAGES: Sequence[str] = (SOURCE, *sorted(path.parents[1].name for path in FOLDER.glob("*/*/*.mo")))
