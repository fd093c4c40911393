"""Files: what the rows of a resource name is moved to the environment's bucket, and receipts say so."""
