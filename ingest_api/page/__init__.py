"""The page at `/`: how the recorders are, for who has the administrator's token."""
