"""A simulated shop with shoppers of hidden, drifting tastes. Pure and seeded; knows no Kafka."""

from streams.simulator.arms import Arm, ClickThrough, Experiment, Lift, arm_of
from streams.simulator.shop import Change, Product, Shop
from streams.simulator.shoppers import Shoppers
from streams.simulator.simulation import SHELF_ITEMS, Act, Simulation, Step

__all__ = [
    "SHELF_ITEMS",
    "Act",
    "Arm",
    "Change",
    "ClickThrough",
    "Experiment",
    "Lift",
    "Product",
    "Shop",
    "Shoppers",
    "Simulation",
    "Step",
    "arm_of",
]
