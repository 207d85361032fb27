"""The watches: kopf hears of every change, and what it means goes into `Watched` and the queue."""

from gomatch_operator.watching.arrivals import Arrivals
from gomatch_operator.watching.canary import Canary
from gomatch_operator.watching.listing import Listing
from gomatch_operator.watching.watch import Heard, Watch

__all__ = ["Arrivals", "Canary", "Heard", "Listing", "Watch"]
