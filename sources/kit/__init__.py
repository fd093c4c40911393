"""What sources share: the HTTP client, notices to the engine, and errors named by what to do."""
