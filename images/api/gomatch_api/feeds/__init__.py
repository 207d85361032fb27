"""What this replica knows of each market from its matcher: book, last trades, private events."""

from gomatch_api.feeds.depth import DepthSnapshot
from gomatch_api.feeds.feeds import Feeds
from gomatch_api.feeds.view import MarketView

__all__ = ["DepthSnapshot", "Feeds", "MarketView"]
