"""Memory that processes share: anonymous files, their descriptors, mappings, and room for them."""
