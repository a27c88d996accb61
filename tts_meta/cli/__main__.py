"""`python -m tts_meta.cli` is `tts-meta`."""

import sys

from tts_meta.cli import main

sys.exit(main())
