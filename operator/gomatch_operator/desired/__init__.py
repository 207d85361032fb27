"""What a Market shall be: pure functions from its spec to objects, queue and definition."""

from gomatch_operator.desired.composition import chosen_image, desired
from gomatch_operator.desired.values import Desired, DesiredObject

__all__ = ["Desired", "DesiredObject", "chosen_image", "desired"]
