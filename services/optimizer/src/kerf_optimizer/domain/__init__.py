"""Pure functions on pictures and geometry: no network, no protobuf."""
