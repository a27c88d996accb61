"""`python -m tts_meta.cli`, the same as `tts-meta`."""

import sys

from tts_meta.cli import main

sys.exit(main())
