"""The only code that speaks SQL. One module per table; the statements are in sql/queries, by name.

A function takes an open connection and never opens a transaction: actions and the runner do.
"""
