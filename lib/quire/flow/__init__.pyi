from .context import Request as Request
from .run import Result as Result
from .run import run as run
