"""`etl erase`: a person or device is removed from every place the engine keeps, and a receipt stays."""
