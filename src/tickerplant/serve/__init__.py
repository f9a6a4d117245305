"""What a running plant shows to others over HTTP."""
