"""Download images from URLs into tars, safely, and count the failures."""
