"""PostgreSQL: the connection, the tables of both schemas, and one module of statements per table."""
