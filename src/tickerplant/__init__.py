"""tickerplant: US-equities market data from the vendor to the query."""
