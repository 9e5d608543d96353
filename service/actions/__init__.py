"""One function per thing a user can do that changes state: it opens the transaction and tells others after commit."""
