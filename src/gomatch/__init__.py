"""gomatch: an order-matching venue."""

from importlib.metadata import version

__version__ = version("gomatch")
