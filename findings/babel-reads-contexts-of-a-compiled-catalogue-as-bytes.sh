#!/usr/bin/env bash
# Babel 2.18.0 (PyPI).
#
# One would guess: a catalogue that is compiled and read again is the same, so a text is found in it by its context and id.
#
# What happens: read_mo() decodes ids and translations, and leaves each context as bytes. A look-up by the context that
# was written finds nothing, and a comparison with it is never true: no error, only the English text. read_po() gives text.
#
# Seen, of one message with the context "menu":
#   read_po()  'menu', found 'Offen'
#   read_mo()  b'menu', found nothing
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check babel==2.18.0

timeout 60 "$folder/venv/bin/python" <<'PYTHON'
import io

from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po

catalogue = Catalog(locale="de")
catalogue.add("Open", "Offen", context="menu")


def look(name, write, read):
    file = io.BytesIO()
    write(file, catalogue)
    file.seek(0)
    again = read(file)
    [message] = [message for message in again if message.id]
    found = again.get("Open", context="menu")
    print(f"{name}  {message.context!r}, found {repr(found.string) if found else 'nothing'}")
    return message.context, found and found.string


assert look("read_po()", write_po, lambda file: read_po(file, locale="de")) == ("menu", "Offen"), "the behaviour has changed"
assert look("read_mo()", write_mo, read_mo) == (b"menu", None), "the behaviour has changed"
PYTHON
