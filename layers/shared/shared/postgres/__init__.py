"""The database, and the only home of psycopg: one connection, whole transactions, one flight each."""

from shared.postgres.database import Database
from shared.postgres.transaction import Pending, Row, Transaction

__all__ = ["Database", "Pending", "Row", "Transaction"]
