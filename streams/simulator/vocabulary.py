"""The words the simulated shop names and describes its goods with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple


class Kind(NamedTuple):
    """A kind of product: what it is called, and what it is good for."""

    name: str
    use: str


class Department(NamedTuple):
    """One department: its kinds of product, what they may be made of, and its words for styles."""

    name: str
    kinds: Sequence[Kind]
    details: Sequence[str]
    styles: Sequence[str]


#: A style is a taste that runs through the whole shop, whatever the department calls it.
STYLES: Final = (
    ("light", "Made to weigh next to nothing and to take little room."),
    ("rugged", "Built for hard use, and easy to repair."),
    ("classic", "A shape that has been right for decades."),
    ("plain", "Nothing on it that does not have to be there."),
    ("bright", "In colours one sees from across the street."),
    ("natural", "From renewable or recycled material, and it shows."),
    ("fine", "Made in small numbers, with an eye for the last detail."),
    ("playful", "For people who do not take everything seriously."),
)

_GOODS = (
    "Featherlight",
    "Rugged",
    "Classic",
    "Plain",
    "Bright",
    "Natural",
    "Fine",
    "Playful",
)

DEPARTMENTS: Final = (
    Department(
        "outdoor",
        (
            Kind("two-person tent", "Stands in four minutes, in the rain too."),
            Kind("camp stove", "Boils a litre before the table is laid."),
            Kind("sleeping bag", "Warm down to the first frost."),
            Kind("daypack", "Carries a day's food, a map and a dry jumper."),
            Kind("water bottle", "Keeps tea hot until the summit."),
            Kind("headlamp", "Finds the hut, and then the keyhole."),
            Kind("hammock", "Needs two trees and one free afternoon."),
            Kind("rain jacket", "Keeps a day of drizzle where it belongs."),
        ),
        ("moss green", "slate", "ripstop", "titanium", "waxed cotton", "season edition"),
        ("Ultralight", "Rugged", "Classic", "Plain", "Signal", "Hemp", "Expedition", "Patchwork"),
    ),
    Department(
        "kitchen",
        (
            Kind("chef's knife", "Goes through a squash without being asked twice."),
            Kind("saucepan", "Holds heat evenly, up to the rim."),
            Kind("pepper mill", "Grinds from dust to boulders."),
            Kind("mixing bowl", "Stays where it is while you whisk."),
            Kind("bread tin", "For a loaf with a proper crust."),
            Kind("coffee dripper", "One cup, three minutes, no hurry."),
            Kind("cutting board", "Kind to knives, easy to oil."),
            Kind("tea kettle", "Whistles in a third."),
        ),
        ("stainless steel", "walnut", "enamel", "copper", "stoneware", "cast iron"),
        ("Light", "Workhorse", "Classic", "Plain", "Bright", "Olive wood", "Forged", "Polka-dot"),
    ),
    Department(
        "books",
        (
            Kind("crime novel", "Nobody in the village has seen anything."),
            Kind("field guide", "Two hundred species that fit in a pocket."),
            Kind("cookery book", "Eighty recipes, most of them for a Tuesday."),
            Kind("history", "How an ordinary street became what it is."),
            Kind("atlas", "Maps to get lost in on purpose."),
            Kind("picture book", "To be read aloud, again, and then again."),
            Kind("poetry collection", "Short lines for long trains."),
            Kind("space opera", "Three moons, one ship, no fuel."),
        ),
        ("paperback", "hardback", "large print", "annotated", "boxed", "revised edition"),
        ("Pocket", "Epic", "Classic", "Spare", "Illustrated", "Nature", "Literary", "Comic"),
    ),
    Department(
        "audio",
        (
            Kind("headphones", "Closed, comfortable, good for a long flight."),
            Kind("bookshelf speakers", "Fill a room without shouting at it."),
            Kind("turntable", "Turns at the right speed, which is harder than it sounds."),
            Kind("kitchen radio", "Knows the news and the weather."),
            Kind("earbuds", "Stay in while you run for the bus."),
            Kind("soundbar", "Makes out what the detective mumbles."),
            Kind("field recorder", "Hears the wren three gardens away."),
            Kind("phono amplifier", "Lifts a small signal and leaves it as it was."),
        ),
        ("graphite", "walnut", "ivory", "second series", "wired", "wireless"),
        ("Compact", "Rugged", "Classic", "Plain", "Bright", "Cork", "Reference", "Retro"),
    ),
    Department(
        "garden",
        (
            Kind("hand trowel", "Digs, lifts and does not bend."),
            Kind("secateurs", "A clean cut that heals by the weekend."),
            Kind("watering can", "Pours where it is pointed."),
            Kind("seed mix", "Flowers from May to the first night frost."),
            Kind("plant pot", "Drains well and stands straight."),
            Kind("bird feeder", "Squirrels will be disappointed."),
            Kind("garden bench", "For two people and a cat."),
            Kind("compost bin", "Turns peelings into next year's tomatoes."),
        ),
        ("zinc", "terracotta", "oak", "ash handle", "large", "balcony size"),
        ("Light", "Sturdy", "Cottage", "Plain", "Bright", "Wild", "Forged", "Whimsical"),
    ),
    Department(
        "cycling",
        (
            Kind("city bicycle", "Upright, quiet, and lit by its own wheel."),
            Kind("saddlebag", "Carries tools, or sandwiches."),
            Kind("bicycle helmet", "Light enough to forget, strong enough not to matter."),
            Kind("touring tyres", "Roll over gravel and broken promises."),
            Kind("bicycle lamp", "Seen from half a kilometre."),
            Kind("pannier pair", "Stay dry inside in any weather."),
            Kind("floor pump", "From flat to firm in twenty strokes."),
            Kind("cycling gloves", "Padded where the road comes through."),
        ),
        ("matt black", "racing green", "leather", "reflective", "all-season", "size M"),
        ("Superlight", "Touring", "Classic", "Plain", "Neon", "Bamboo", "Handbuilt", "Striped"),
    ),
    Department(
        "toys",
        (
            Kind("wooden train", "Couples to every other wagon in the house."),
            Kind("building blocks", "One hundred pieces, infinite towers."),
            Kind("jigsaw puzzle", "A thousand pieces of sky, and one boat."),
            Kind("board game", "Two to five players, one hour, no tears."),
            Kind("kite", "Flies from a breath of wind."),
            Kind("marble run", "Click, clack, and again from the top."),
            Kind("hand puppet", "Says what nobody else dares to."),
            Kind("science kit", "Twelve experiments, two of them loud."),
        ),
        ("beech", "from 3 years", "from 8 years", "travel size", "family size", "in a tin"),
        ("Pocket", "Sturdy", "Classic", "Plain", "Rainbow", "Natural", "Collector's", "Silly"),
    ),
    Department(
        "clothing",
        (
            Kind("wool jumper", "Warm without being warm all the time."),
            Kind("linen shirt", "Creases, and looks better for it."),
            Kind("work trousers", "Double knees and a pocket for the ruler."),
            Kind("walking socks", "Ten hours and not one blister."),
            Kind("scarf", "Long enough to share."),
            Kind("beanie", "For ears, and for hair on a bad day."),
            Kind("canvas shoes", "From spring until the puddles come."),
            Kind("overcoat", "The one that goes over everything."),
        ),
        ("navy", "oatmeal", "rust", "herringbone", "ribbed", "unisex"),
        ("Light", "Work", "Classic", "Plain", "Bright", "Undyed", "Tailored", "Patterned"),
    ),
    Department(
        "home",
        (
            Kind("table lamp", "A circle of light for one book."),
            Kind("wool blanket", "Big enough to hide under."),
            Kind("wall clock", "Ticks so softly that one forgets it."),
            Kind("bookcase", "Takes the heavy ones too."),
            Kind("linen cushion", "For the side of the sofa with the view."),
            Kind("storage basket", "Makes any room look tidied."),
            Kind("wall mirror", "Doubles the light of a north window."),
            Kind("doormat", "Takes the rain off your shoes."),
        ),
        ("brass", "ash", "charcoal", "jute", "round", "large"),
        ("Light", "Sturdy", "Classic", "Plain", "Bright", "Rattan", "Fine", "Playful"),
    ),
    Department(
        "crafts",
        (
            Kind("watercolour set", "Twenty-four pans and a brush that keeps its point."),
            Kind("knitting yarn", "Soft on the needles, strong in the sleeve."),
            Kind("sketchbook", "Paper that forgives rubbing out."),
            Kind("carving knife set", "Six blades for spoons and for patience."),
            Kind("fountain pen", "Starts at the first stroke, every time."),
            Kind("embroidery kit", "A meadow in two evenings."),
            Kind("sewing scissors", "Never to be used on paper."),
            Kind("screen printing kit", "Ten shirts before lunch."),
        ),
        ("starter set", "refill", "indigo", "large", "in a roll", "studio size"),
        ("Travel", "Workshop", "Classic", "Plain", "Vivid", "Natural", "Artist's", "Whimsical"),
    ),
    Department(
        "food",
        (
            Kind("coffee beans", "Nuts and cocoa, roasted on Thursday."),
            Kind("loose tea", "Opens slowly; give it four minutes."),
            Kind("olive oil", "Green, peppery, pressed in November."),
            Kind("dark chocolate", "Snaps, then melts."),
            Kind("spice mix", "Wakes up lentils and cooks alike."),
            Kind("honey", "From hives at the edge of a wood."),
            Kind("sea salt", "Flakes for the last moment."),
            Kind("sourdough starter", "Feed it and it will feed you."),
        ),
        ("250 g", "500 g", "in a tin", "small batch", "tasting set", "refill bag"),
        ("Mild", "Strong", "Classic", "Plain", "Citrus", "Wild", "Single-estate", "Curious"),
    ),
    Department(
        "sports",
        (
            Kind("yoga mat", "Grips the floor and your hands."),
            Kind("running shoes", "Soft in the first kilometre and in the last."),
            Kind("swimming goggles", "No leak, no fog, no marks."),
            Kind("climbing rope", "Sixty metres that run smoothly."),
            Kind("kettlebell", "One weight, twenty exercises."),
            Kind("table tennis bat", "More spin than you can account for."),
            Kind("resistance bands", "A gym that fits in a drawer."),
            Kind("skipping rope", "Ten minutes that feel like thirty."),
        ),
        ("training", "competition", "size M", "size L", "grey", "with bag"),
        _GOODS,
    ),
)
