"""`explorer.browse()`: the tree of what a service has, its panel of widgets, and what they do together."""
