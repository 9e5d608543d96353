"""`python -m tests.acceptance.no_fence`: a worker that commits chunks under any epoch. A mutant, to test the tests."""

from __future__ import annotations

from service.store import jobs
from workers.__main__ import main

FENCE = "where id = $1 and epoch = $2 and state = 'running'"

if __name__ == "__main__":
    statement = jobs._SQL["advance"]
    assert FENCE in statement
    jobs._SQL["advance"] = statement.replace(FENCE, "where id = $1 and $2::integer > 0")  # type: ignore[index]
    main()
