"""Numbers as a person reads them; pages and notebooks write them alike."""

from quire.page.numbers import is_missing as is_missing
from quire.page.numbers import number as number
from quire.page.numbers import percent as percent
from quire.page.numbers import signed as signed
