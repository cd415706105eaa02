"""The tasks of PASCAL VOC."""
