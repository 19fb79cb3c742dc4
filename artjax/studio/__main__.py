"""`python -m artjax.studio OUT.png`: writes a contact sheet of the studio."""

import sys

from PIL import Image

from artjax.studio import catalogue, contact_sheet

if len(sys.argv) != 2:
    sys.exit("usage: python -m artjax.studio OUT.png")
Image.fromarray(contact_sheet(catalogue(), columns=8)).save(sys.argv[1], optimize=True)
