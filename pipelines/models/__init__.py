"""Derived tables: a folder of SELECTs per spec, made anew after each load that changed something."""
