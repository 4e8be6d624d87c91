"""Everything that touches SQL or zarr. Returns domain values; no row object leaves."""
