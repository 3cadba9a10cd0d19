"""Downloads images from URLs into tars, safely, and counts the failures."""
