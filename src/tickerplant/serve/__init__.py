"""What a running plant shows to others over HTTP, and its log as a live feed."""
