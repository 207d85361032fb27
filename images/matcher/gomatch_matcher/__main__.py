"""``python -m gomatch_matcher``."""

import sys

from gomatch.errors import GomatchError
from gomatch.settings import load_settings
from gomatch_matcher.main import run

if __name__ == "__main__":
    try:
        run(load_settings())
    except (GomatchError, OSError) as error:
        sys.exit(f"gomatch_matcher: {error}")
