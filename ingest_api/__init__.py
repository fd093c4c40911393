"""The service that receives audio chunks from recorders: none lost, none stored twice."""
