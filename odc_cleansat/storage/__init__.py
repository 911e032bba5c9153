"""Files: folders and buckets, atomic writes, COGs, documents."""
