"""How large a message and each of its parts may be.

Wide enough that no honest producer meets one, narrow enough that no single message can fill a
worker's memory or drown the numbers that others share. Lengths of text count characters.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

#: The largest value of a record that is read at all, in bytes.
MAX_MESSAGE_BYTES: Final = 1 << 20

#: user_id, item_id, event_id and request_id.
MAX_ID_CHARS: Final = 256
#: A recommendation_id holds a topic's name, which alone may have 249 characters.
MAX_RECOMMENDATION_ID_CHARS: Final = 512
MAX_TITLE_CHARS: Final = 4_000
#: About forty pages: a whole article.
MAX_TEXT_CHARS: Final = 200_000
MAX_CATEGORIES: Final = 256
MAX_CATEGORY_CHARS: Final = 256
MAX_URL_CHARS: Final = 2_048
#: Of a picture in an item's own record, as a file; as base64 it leaves a third of the record.
MAX_IMAGE_BYTES: Final = 512 << 10
#: Entries of `context` and `attributes`.
MAX_DETAILS: Final = 128
MAX_DETAIL_NAME_CHARS: Final = 128
MAX_DETAIL_CHARS: Final = 4_000
#: Either side of zero; beyond it 32-bit floats, which the engine learns with, lose their meaning.
MAX_NUMBER: Final = 1e12
MAX_POSITION: Final = 1_000_000
#: Items that one request may ask for, exclude, or name as its context.
MAX_LIST: Final = 100
MAX_EXCLUDED: Final = 10_000
MAX_CONTEXT_ITEMS: Final = 1_000
MAX_QUERY_CHARS: Final = 2_000
#: Conditions on attributes, of a rule or of a request.
MAX_CONDITIONS: Final = 32
#: Items of one editor's list.
MAX_PICKS: Final = 1_000

#: Of one profile.
MAX_INTERESTS: Final = 64
MAX_FACT_CHARS: Final = 256

#: How far ahead of its record's timestamp a message may be dated, and that ahead of the broker's
#: clock: clocks differ.
MAX_AHEAD_MS: Final = 5 * 60 * 1000
#: How far ahead of the reader's clock a record may be dated where no broker bounds it. More than
#: Kafka lets through by default since 4.0, so that no verdict there depends on the time of reading.
MAX_RECORD_AHEAD_MS: Final = 2 * 60 * 60 * 1000
#: 1990-01-01: no event is older, but seconds taken for milliseconds are.
EARLIEST_MS: Final = 631_152_000_000

#: Of the sentence that says why a record was rejected; a traceback fits.
MAX_REJECTION_CHARS: Final = 8_000

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]
Number: TypeAlias = Annotated[float, Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]
Category: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_CATEGORY_CHARS)]
DetailName: TypeAlias = Annotated[str, Meta(max_length=MAX_DETAIL_NAME_CHARS)]
Detail: TypeAlias = Annotated[str, Meta(max_length=MAX_DETAIL_CHARS)] | Number | bool
