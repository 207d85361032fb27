"""``python -m gomatch_api``."""

import sys

from gomatch.errors import GomatchError
from gomatch.settings import Settings
from gomatch_api.main import run

if __name__ == "__main__":
    try:
        run(Settings())
    except (GomatchError, OSError) as error:
        sys.exit(f"gomatch_api: {error}")
