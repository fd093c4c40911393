"""Files: what items name is moved into the environment's bucket, each verified first and stored once."""
