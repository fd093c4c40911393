"""How the tables came to be: steps of Alembic, each with its way back."""
