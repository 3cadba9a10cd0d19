"""What figures are drawn with: looks, fonts, files."""
