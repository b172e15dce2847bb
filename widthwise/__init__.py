"""widthwise."""
