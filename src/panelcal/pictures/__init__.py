"""Pictures: constants, differences and timelines as people look at them. matplotlib is an extra."""
