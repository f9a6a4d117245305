"""vendors/alpaca."""
