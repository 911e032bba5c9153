"""Files: folders on this machine and in stores such as S3, cloud-optimised GeoTIFFs, and EO3 documents.

Files are written whole or not at all.
"""

from .cog import write_cogs
from .eo3 import product_definition, read_document, scene_product
from .folder import Folder

__all__ = [
    "Folder",
    "product_definition",
    "read_document",
    "scene_product",
    "write_cogs",
]
