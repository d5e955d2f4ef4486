"""What the planner must not decide by its statistics.

They may not know yet what there is: a large table is seldom analyzed. Expecting a row or two, the planner would read
them by any index, and sort them, however many there are. So where only the first ones are asked for, their order is
that of one index, and sorting is said to be expensive.
"""

from __future__ import annotations

from store.sql.database import Statement

IN_ORDER: Statement = ("SELECT set_config('enable_sort', 'off', true), set_config('jit', 'off', true)", ())
"""Comes first in the transaction, or in the message. A plan that sorts all the same must not be compiled for that."""
