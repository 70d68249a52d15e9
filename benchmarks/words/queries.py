"""What people might ask a film shop for, and by which facts a film answers it.

Whether a film is relevant is decided by its categories, its year and its title alone, never by
looking at it. Half of the queries avoid the catalogue's own words, as people do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_YEAR = re.compile(r"\((\d{4})\)\s*$")


@dataclass(frozen=True, slots=True)
class Query:
    """Words, and the facts of a film that they ask for.

    all, none: categories. years: first and last. title: a pattern that the title, without its year,
    must hold.
    """

    words: str
    all: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    years: tuple[int, int] | None = None
    title: str = ""

    def answered_by(self, title: str, categories: frozenset[str]) -> bool:
        """Whether a film with this title and these categories is relevant."""
        found = _YEAR.search(title)
        year = int(found[1]) if found else 0
        return (
            categories.issuperset(self.all)
            and categories.isdisjoint(self.none)
            and (self.years is None or self.years[0] <= year <= self.years[1])
            and (not self.title or bool(re.search(self.title, _YEAR.sub("", title), re.I)))
        )


QUERIES = (
    # One category, in the catalogue's words and in others.
    Query("a western", ("Western",)),
    Query("cowboys and gunslingers on the frontier", ("Western",)),
    Query("film noir", ("Film-Noir",)),
    Query("a musical", ("Musical",)),
    Query("people burst into song and dance", ("Musical",)),
    Query("a war film", ("War",)),
    Query("soldiers in battle", ("War",)),
    Query("documentary", ("Documentary",)),
    Query("true stories, real footage, no actors", ("Documentary",)),
    Query("an animated film", ("Animation",)),
    Query("cartoons", ("Animation",)),
    Query("a horror film", ("Horror",)),
    Query("something really scary", ("Horror",)),
    Query("science fiction", ("Sci-Fi",)),
    Query("spaceships, robots and the future", ("Sci-Fi",)),
    Query("a mystery", ("Mystery",)),
    Query("a detective solving a puzzle", ("Mystery",)),
    Query("a love story", ("Romance",)),
    Query("something that makes me laugh", ("Comedy",)),
    Query("gangsters and bank robbers", ("Crime",)),
    Query("for the kids", ("Children",)),
    Query("dragons, wizards and magic", ("Fantasy",)),
    # Two and more.
    Query("romantic comedy", ("Comedy", "Romance")),
    Query("funny and in love", ("Comedy", "Romance")),
    Query("science fiction horror", ("Sci-Fi", "Horror")),
    Query("scary monsters in outer space", ("Sci-Fi", "Horror")),
    Query("an animated film for children", ("Animation", "Children")),
    Query("a cartoon for the little ones", ("Animation", "Children")),
    Query("horror comedy", ("Horror", "Comedy")),
    Query("frightening but funny", ("Horror", "Comedy")),
    Query("crime thriller", ("Crime", "Thriller")),
    Query("a tense hunt for a murderer", ("Crime", "Thriller")),
    Query("war drama", ("War", "Drama")),
    Query("soldiers and what war did to them", ("War", "Drama")),
    Query("fantasy adventure", ("Fantasy", "Adventure")),
    Query("a quest through a magical land", ("Fantasy", "Adventure")),
    Query("action comedy", ("Action", "Comedy")),
    Query("car chases and jokes", ("Action", "Comedy")),
    Query("a western comedy", ("Western", "Comedy")),
    Query("animated musical for children", ("Animation", "Musical", "Children")),
    Query("a cartoon with songs for kids", ("Animation", "Musical", "Children")),
    Query("science fiction action adventure", ("Sci-Fi", "Action", "Adventure")),
    # Without.
    Query("science fiction, nothing scary", ("Sci-Fi",), ("Horror", "Thriller")),
    Query("a crime film that is a comedy and no drama", ("Crime", "Comedy"), ("Drama",)),
    Query("a romance without jokes", ("Romance",), ("Comedy",)),
    Query("an animated film for grown-ups", ("Animation",), ("Children",)),
    # When.
    Query("horror from the eighties", ("Horror",), years=(1980, 1989)),
    Query("science fiction of the fifties", ("Sci-Fi",), years=(1950, 1959)),
    Query("a western from the sixties", ("Western",), years=(1960, 1969)),
    Query("comedy of the thirties", ("Comedy",), years=(1930, 1939)),
    Query(
        "a musical from the golden age, the forties or fifties", ("Musical",), years=(1940, 1959)
    ),
    Query("crime in the seventies", ("Crime",), years=(1970, 1979)),
    Query("a new documentary, from 2010 or later", ("Documentary",), years=(2010, 2018)),
    Query("animation from the two thousands", ("Animation",), years=(2000, 2009)),
    # By name.
    Query("Star Trek", title=r"\bStar Trek\b"),
    Query("the Enterprise and its crew, Kirk and Picard", title=r"\bStar Trek\b"),
    Query("Star Wars", title=r"\bStar Wars\b"),
    Query("Jedi, Darth Vader and the Force", title=r"\bStar Wars\b"),
    Query("Harry Potter", title=r"\bHarry Potter\b"),
    Query("the boy wizard at Hogwarts", title=r"\bHarry Potter\b"),
    Query("Batman", title=r"\bBatman\b"),
    Query("the caped crusader of Gotham", title=r"\bBatman\b|\bDark Knight\b"),
    Query("Sherlock Holmes", title=r"\bSherlock\b"),
    Query("Christmas films", title=r"\bChristmas\b"),
    Query("something for xmas, with Santa", title=r"\bChristmas\b|\bSanta\b"),
    Query("vampires", title=r"\bVampires?\b|\bDracula\b|\bNosferatu\b"),
    Query("Frankenstein's monster", title=r"\bFrankenstein\b"),
    Query("a giant lizard destroys Tokyo", title=r"\bGodzilla\b"),
    Query("Kermit, Miss Piggy and friends", title=r"\bMuppets?\b"),
    Query("zombies", title=r"\bZombies?\b|\bLiving Dead\b"),
)
