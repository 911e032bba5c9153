"""Product definitions, also installed as `odc_cleansat.product_definitions`."""
