"""Speech recognition with Apache Spark, over one or many Triton servers."""
