"""Tables, queries and the SQL ledger."""
