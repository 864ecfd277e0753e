"""What a change of an instance's state is: a value that is applied to its tables, now and again after a crash, with one effect.

Everything `apply` depends on is in the tables or in the operation itself: clock and randomness are fields. So what the journal
holds above the number a file has stored makes that file what it was, to the byte of every document.
"""

from typing import TYPE_CHECKING, Any, ClassVar

import apsw
import msgspec

from podium.protocol.ids import Cursor
from podium.state import eventlog
from podium.state.document import Document


class Tables:
    """An instance's tables, and what of them is looked at all the time, in memory. `reload` after what was undone."""

    def __init__(self, db: apsw.Connection) -> None:
        self.db = db
        self.document = Document(db)
        self.reload()

    def reload(self) -> None:
        """Read what is in memory anew."""
        self.document.reload(self.db)
        self.head: Cursor = eventlog.head(self.db)
        self.oldest = eventlog.first_seq(self.db)


class Operation(msgspec.Struct, frozen=True, array_like=True):
    """Base of all operations. `durable` ones are answered after an fsync."""

    durable: ClassVar[bool] = False

    if TYPE_CHECKING:

        def apply(self, tables: Tables) -> Any:
            """Change the tables; what it raises undoes it, and then it never was."""
