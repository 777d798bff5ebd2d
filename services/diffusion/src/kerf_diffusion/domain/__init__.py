"""What the diffusion worker does, without saying with what: requests, limits, plans, and the work on one request."""
